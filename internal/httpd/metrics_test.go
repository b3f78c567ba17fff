package httpd_test

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"latchkey"
	"latchkey/internal/api"
	"latchkey/internal/httpd"
)

// said is an authority that has made up its mind.
type said struct{ turn api.Turn }

func (s said) BeginSigned(context.Context, string, latchkey.Logon) (api.Turn, error) {
	return api.Turn{Prompt: &latchkey.Prompt{}}, nil
}

func (s said) AnswerSigned(context.Context, string, latchkey.Logon, latchkey.Answer) (api.Turn, error) {
	return s.turn, nil
}

func TestTheMetricsCountVerdictsAndNameNobody(t *testing.T) {
	t.Parallel()
	m := httpd.NewMetrics(
		httpd.Gauge{Name: "latchkey_audit_unsealed", Help: "x", Read: func(context.Context) (int64, error) { return 7, nil }},
		httpd.Gauge{Name: "latchkey_broken", Help: "x", Read: func(context.Context) (int64, error) { return 0, errors.New("no") }})
	l := m.Counted(said{api.Turn{Verdict: []byte("signed for usr_secret"), Outcome: latchkey.Allowed, Reason: latchkey.VerifiedOnline}})
	for range 3 {
		if _, err := l.BeginSigned(t.Context(), "", latchkey.Logon{User: "ana"}); err != nil {
			t.Fatal(err)
		}
		if _, err := l.AnswerSigned(t.Context(), "", latchkey.Logon{User: "ana"}, latchkey.Answer{}); err != nil {
			t.Fatal(err)
		}
	}
	timed := m.Timed("admin", http.NotFoundHandler())
	timed.ServeHTTP(httptest.NewRecorder(), httptest.NewRequest("GET", "/users/ana", nil))
	page := httptest.NewRecorder()
	m.ServeHTTP(page, httptest.NewRequest("GET", "/metrics", nil))
	for _, want := range []string{
		`latchkey_logons_total{outcome="` + string(latchkey.Allowed) + `",reason="verified_online"} 3` + "\n",
		`latchkey_request_duration_seconds_count{listener="admin",status="4xx"} 1` + "\n",
		`latchkey_request_duration_seconds_bucket{listener="admin",status="4xx",le="+Inf"} 1` + "\n",
		"latchkey_audit_unsealed 7\n",
	} {
		if !strings.Contains(page.Body.String(), want) {
			t.Errorf("the page lacks %s:\n%s", want, page.Body)
		}
	}
	for _, never := range []string{"ana", "secret", "latchkey_broken"} {
		if strings.Contains(page.Body.String(), never) {
			t.Errorf("the page holds %q:\n%s", never, page.Body)
		}
	}
	other := httptest.NewRecorder()
	m.ServeHTTP(other, httptest.NewRequest("GET", "/api/v1/users", nil))
	if other.Code != http.StatusNotFound {
		t.Errorf("another address answers %d", other.Code)
	}
}
