package httpd

import (
	"net/http"
	"net/url"
	"path"
	"slices"
	"strings"
	"unicode/utf8"

	"latchkey"
)

var (
	errAddress = latchkey.Errorf(latchkey.Invalid, "the address is not valid UTF-8 without NUL").WithHint("percent-encode names as UTF-8")
	errNobody  = latchkey.Errorf(latchkey.NotFound, "nothing has a name that begins or ends with a space")
	errQuery   = latchkey.Errorf(latchkey.Invalid, "the query cannot be read").WithHint("percent-encode values, and join parameters by & alone")
	errTwice   = latchkey.Errorf(latchkey.Invalid, "a query parameter occurs twice").WithHint("every parameter has one value")
	errEmpty   = latchkey.Errorf(latchkey.Invalid, "a query parameter is empty").WithHint("leave it out")
	errPadded  = latchkey.Errorf(latchkey.Invalid, "a query parameter begins or ends with a space")
)

// addressed refuses addresses that two readers could understand differently,
// that name what nothing can be called, or that one of the databases could not
// even be asked for: on every route, and in one place. What is wrong with a
// query is never skipped: a filter that vanished would show everything.
func addressed(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		err := checkPath(r.URL.EscapedPath())
		if err == nil {
			err = checkQuery(r.URL.RawQuery)
		}
		if err != nil {
			refuse(w, r, err)
			return
		}
		next.ServeHTTP(w, r)
	})
}

// checkPath also refuses what the mux would redirect to a cleaner address.
func checkPath(escaped string) error {
	if clean := path.Clean(escaped); escaped != clean && escaped != clean+"/" {
		return plain(http.StatusNotFound, "no such address")
	}
	for segment := range strings.SplitSeq(escaped, "/") {
		name, err := url.PathUnescape(segment)
		switch {
		case err != nil || !storable(name):
			return errAddress
		case strings.TrimSpace(name) != name: // folding would trim it, and find another's
			return errNobody
		}
	}
	return nil
}

func checkQuery(raw string) error {
	values, err := url.ParseQuery(raw)
	if err != nil { // its text would quote the query
		return errQuery
	}
	for name, all := range values {
		switch {
		case !storable(name) || !storable(all[0]):
			return errAddress
		case len(all) > 1:
			return errTwice
		case all[0] == "" && !slices.Contains(mayBeEmpty, name):
			return errEmpty
		case strings.TrimSpace(all[0]) != all[0]:
			return errPadded
		}
	}
	return nil
}

// mayBeEmpty are the filters that earlier command lines send empty where their
// user chose nothing.
var mayBeEmpty = []string{"user", "machine", "kind"}

// storable reports whether every database takes a text: PostgreSQL has no NUL
// and nothing but UTF-8.
func storable(s string) bool { return utf8.ValidString(s) && strings.IndexByte(s, 0) < 0 }
