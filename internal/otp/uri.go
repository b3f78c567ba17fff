package otp

import (
	"errors"
	"fmt"
	"net/url"
	"strconv"
	"strings"
)

// maxURI is far above the longest address this package writes, in bytes.
const maxURI = 4096

// Parameters of the Key Uri Format. Those in ignored change how an app shows a
// key, never its codes; any other name is refused, because a misspelt "digits"
// would otherwise make a token whose every code is wrong.
var (
	known   = map[string]bool{"secret": true, "issuer": true, "algorithm": true, "digits": true, "period": true, "counter": true}
	ignored = map[string]bool{"image": true, "icon": true, "color": true, "lock": true}
)

// ParseURI reads an otpauth:// address (Key Uri Format) and validates the key.
//
// It is strict: the type is hotp or totp; names are lower case, known, and
// occur once; hotp needs a counter; the label is not empty; "+" is a plus sign
// (RFC 3986), not a space. Absent are SHA1, 6 digits, 30 seconds. The period of
// a hotp key and the counter of a totp key, which some apps export, must be in
// range but change nothing.
//
// When both the label and the parameter name an issuer they must be equal; a
// label is split at its first colon, unless the issuer parameter is there to
// say where the issuer ends. Errors repeat nothing of
// the address: a secret may stand anywhere in it by mistake.
func ParseURI(uri string) (Key, error) {
	kind, label, query, err := splitURI(uri)
	if err != nil {
		return Key{}, err
	}
	params, err := parseParams(query)
	if err != nil {
		return Key{}, err
	}
	k := Key{Kind: kind, Algorithm: SHA1, Digits: 6}
	if err := k.readParams(params); err != nil {
		return Key{}, err
	}
	if err := k.readLabel(label, params); err != nil {
		return Key{}, err
	}
	if err := k.Validate(); err != nil {
		return Key{}, err
	}
	return k, nil
}

// splitURI takes the address apart without decoding anything.
func splitURI(uri string) (kind Kind, label, query string, err error) {
	const scheme = "otpauth://"
	switch {
	case len(uri) > maxURI:
		return 0, "", "", fmt.Errorf("address has more than %d bytes", maxURI)
	case len(uri) < len(scheme) || !strings.EqualFold(uri[:len(scheme)], scheme):
		return 0, "", "", errors.New("address does not begin with otpauth://")
	case strings.Contains(uri, "#"):
		return 0, "", "", errors.New("address holds a fragment")
	}
	path, query, _ := strings.Cut(uri[len(scheme):], "?")
	host, label, _ := strings.Cut(path, "/")
	kind, err = parseKind(host)
	return kind, label, query, err
}

func parseKind(name string) (Kind, error) {
	switch strings.ToLower(name) { // the host of an address has no case
	case "hotp":
		return HOTP, nil
	case "totp":
		return TOTP, nil
	}
	return 0, errors.New("type is not hotp or totp")
}

// parseParams decodes the query; duplicates and unknown names are errors.
func parseParams(query string) (map[string]string, error) {
	params := map[string]string{}
	for part := range strings.SplitSeq(query, "&") {
		if part == "" {
			continue
		}
		name, raw, _ := strings.Cut(part, "=")
		if !known[name] && !ignored[name] {
			return nil, errors.New("there is a parameter that is not secret, issuer, algorithm, digits, period or counter")
		}
		if _, twice := params[name]; twice {
			return nil, fmt.Errorf("parameter %s occurs twice", name)
		}
		value, err := url.PathUnescape(raw)
		if err != nil { // its text would quote the value
			return nil, fmt.Errorf("parameter %s has a bad percent escape", name)
		}
		params[name] = value
	}
	return params, nil
}

func (k *Key) readParams(params map[string]string) error {
	s, ok := params["secret"]
	if !ok || s == "" {
		return errors.New("secret is missing")
	}
	var err error
	if k.Secret, err = ParseBase32(s); err != nil {
		return err
	}
	if name, ok := params["algorithm"]; ok {
		if k.Algorithm, err = ParseAlgorithm(name); err != nil {
			return err
		}
	}
	digits, err := number(params, "digits", 6)
	if err != nil {
		return err
	}
	k.Digits = small(digits)
	return k.readMoving(params)
}

func (k *Key) readMoving(params map[string]string) error {
	period, err := number(params, "period", 30)
	if err != nil {
		return err
	}
	if err := checkPeriod(small(period)); err != nil {
		return err
	}
	_, counted := params["counter"]
	counter, err := number(params, "counter", 0)
	switch {
	case err != nil:
		return err
	case k.Kind == TOTP:
		k.Period = small(period)
	case !counted:
		return errors.New("counter is missing")
	default:
		k.Counter = counter
	}
	return nil
}

// number reads a decimal of at most 63 bits; the fallback is for an absent
// parameter only.
func number(params map[string]string, name string, fallback uint64) (uint64, error) {
	s, ok := params[name]
	if !ok {
		return fallback, nil
	}
	n, err := strconv.ParseUint(s, 10, 63)
	if err != nil {
		return 0, fmt.Errorf("%s is not a number from 0 to 2^63-1", name)
	}
	return n, nil
}

// small keeps a number that is out of range out of range where int has 32 bits.
func small(n uint64) int { return int(min(n, 1<<30)) }

func (k *Key) readLabel(raw string, params map[string]string) error {
	label, err := url.PathUnescape(raw)
	if err != nil {
		return errors.New("label has a bad percent escape")
	}
	issuer, named := params["issuer"]
	before, after, colon := strings.Cut(label, ":")
	switch {
	case named && issuer == "": // written for an account with a colon and no issuer
		k.Account = label
	case named && strings.HasPrefix(label, issuer+":"):
		k.Issuer, k.Account = issuer, label[len(issuer)+1:]
	case named && colon:
		return errors.New("label and issuer parameter name different issuers")
	case colon:
		k.Issuer, k.Account = before, after
	default:
		k.Issuer, k.Account = issuer, label
	}
	k.Account = strings.TrimLeft(k.Account, " ") // the format allows blanks after the colon
	if k.Account == "" {
		return errors.New("label is missing the account")
	}
	return nil
}

// URI writes the key as an otpauth:// address with every parameter spelt out.
// A valid key with an account comes back from ParseURI as it was. The address
// holds the secret: it goes to its owner only.
func (k Key) URI() string {
	label := escape(k.Account)
	if k.Issuer != "" {
		label = escape(k.Issuer) + ":" + label
	}
	uri := "otpauth://" + k.Kind.String() + "/" + label + "?secret=" + Base32(k.Secret)
	if k.Issuer != "" || strings.Contains(k.Account, ":") { // empty: the colon is the account's own
		uri += "&issuer=" + escape(k.Issuer)
	}
	uri += "&algorithm=" + k.Algorithm.String() + "&digits=" + strconv.Itoa(k.Digits)
	if k.Kind == HOTP {
		return uri + "&counter=" + strconv.FormatUint(k.Counter, 10)
	}
	return uri + "&period=" + strconv.Itoa(k.Period)
}

// escape percent-encodes all but the unreserved characters of RFC 3986. Phones
// disagree on "+", so a blank is always %20.
func escape(s string) string {
	return strings.ReplaceAll(url.QueryEscape(s), "+", "%20")
}
