package settings

import (
	"encoding/json"
	"os"
	"strings"
	"testing"

	"latchkey"
)

func merged(t *testing.T, base latchkey.Policy, document string) latchkey.Policy {
	t.Helper()
	c, err := parse([]byte(document))
	if err != nil {
		t.Fatal(err)
	}
	p, err := merge(base, c[0])
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func TestTheDefaultPolicyDocumentIsAContract(t *testing.T) {
	t.Parallel()
	got, err := json.MarshalIndent(latchkey.BuiltinPolicy(), "", "  ")
	if err != nil {
		t.Fatal(err)
	}
	want, err := os.ReadFile("testdata/default.json")
	if err != nil {
		t.Fatal(err)
	}
	if strings.TrimSpace(string(got)) != strings.TrimSpace(string(want)) {
		t.Errorf("the default policy is\n%s", got)
	}
	again := merged(t, latchkey.BuiltinPolicy(), string(want))
	if out, _ := json.MarshalIndent(again, "", "  "); string(out) != string(got) {
		t.Errorf("laid over itself it becomes\n%s", out)
	}
}

func TestMergeKeepsWhatADocumentLacks(t *testing.T) {
	t.Parallel()
	p := merged(t, latchkey.BuiltinPolicy(), `{"name":"default","offline":{"logins":3}}`)
	if *p.Offline.Logins != 3 || *p.Offline.Days != 7 || !p.Offline.Enabled || len(p.Offline.SpendOn) != 2 || p.Factors.Required != 1 {
		t.Errorf("merged to %+v", p)
	}
	p = merged(t, p, `{"name":"default","offline":{"days":2,"logins":null},"factors":{"online":["totp"]}}`)
	if p.Offline.Logins != nil || *p.Offline.Days != 2 {
		t.Errorf("null is not kept: %+v", p.Offline)
	}
	if len(p.Factors.Online) != 1 || len(p.Factors.Offline) != 4 {
		t.Errorf("lists are replaced one by one: %+v", p.Factors)
	}
	p = merged(t, p, `{"name":"default"}`)
	if p.Offline.Logins != nil {
		t.Error("a null did not survive a document that is silent about it")
	}
	if p.Scenarios == nil || p.Offline.SpendOn == nil {
		t.Error("lists became null")
	}
}

func TestASetGraceDoesNotSwitchTheQuestionOff(t *testing.T) {
	t.Parallel()
	p := merged(t, latchkey.BuiltinPolicy(), `{"name":"default","scenarios":{"elevate":{"grace_minutes":5}}}`)
	if r := p.Rules(latchkey.Elevate); !r.Ask || r.GraceMinutes != 5 {
		t.Errorf("elevate is %+v, want asked with 5 minutes of grace", r)
	}
	p = merged(t, p, `{"name":"default","scenarios":{"unlock":{"ask":false}}}`)
	if r := p.Rules(latchkey.Elevate); !r.Ask || r.GraceMinutes != 5 {
		t.Errorf("another scenario's rules changed elevate to %+v", r)
	}
	p = merged(t, p, `{"name":"default","scenarios":{"elevate":{"ask":false}}}`)
	if r := p.Rules(latchkey.Elevate); r.Ask || r.GraceMinutes != 5 {
		t.Errorf("elevate is %+v, want off", r)
	}
}

func TestParseRefuses(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct{ document, want string }{
		"nothing":                {``, "JSON object"},
		"a number":               {`7`, "JSON object"},
		"null":                   {`null`, "JSON object"},
		"an empty list":          {`[]`, "the list of policies is empty"},
		"a list of numbers":      {`[1]`, "policy"},
		"two documents":          {`{"name":"a"}{"name":"b"}`, "not one json document"},
		"no name":                {`{"priority":1}`, "needs a name"},
		"an unknown key":         {`{"name":"a","offlien":{}}`, `unknown key "offlien"`},
		"an unknown key inside":  {`{"name":"a","offline":{"day":1}}`, `"offline": unknown key "day"`},
		"a key in another case":  {`{"name":"a","Priority":1}`, `unknown key "Priority"`},
		"a key twice":            {`{"name":"a","priority":1,"priority":2}`, `key "priority" occurs twice`},
		"a key twice inside":     {`{"name":"a","offline":{"days":1,"days":90}}`, `key "days" occurs twice`},
		"the same policy twice":  {`[{"name":"a"},{"name":"A"}]`, "policy 2 has the name of an earlier one"},
		"text for a number":      {`{"name":"a","offline":{"days":"seven-secret"}}`, "days has the wrong type"},
		"a fraction":             {`{"name":"a","offline":{"days":1.5}}`, "days has the wrong type"},
		"a huge number":          {`{"name":"a","offline":{"days":1e9}}`, "days has the wrong type"},
		"null for users":         {`{"name":"a","users":null}`, "users must not be null"},
		"null for a list":        {`{"name":"a","factors":{"online":null}}`, "factors.online must not be null"},
		"null in a list":         {`{"name":"a","offline":{"spend_on":[null]}}`, "null"},
		"null for an object":     {`{"name":"a","offline":null}`, `"offline": is null`},
		"null for a switch":      {`{"name":"a","protected":null}`, `"protected": is null`},
		"users of another shape": {`{"name":"a","users":"some-secret"}`, `users must be "all" or a list`},
		"a time of another form": {`{"name":"a","log_only_until":"some-secret"}`, "RFC 3339"},
		"a name with a bell":     {"{\"name\":\"a\\u0007\"}", "name: "},
		"a name of two lines":    {`{"name":"a\nb"}`, "name: "},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, err := parse([]byte(tc.document))
			if latchkey.CodeOf(err) != latchkey.Invalid || !strings.Contains(err.Error(), tc.want) {
				t.Errorf("parse = %v, want an invalid one with %q", err, tc.want)
			}
			if err != nil && strings.Contains(err.Error(), "secret") {
				t.Errorf("the error repeats the value: %v", err)
			}
		})
	}
}

func TestMergeValidatesTheWhole(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct{ document, want string }{
		"C13 zero days":                     {`{"name":"a","offline":{"days":0}}`, "offline.days"},
		"a window below the stored quota":   {`{"name":"a","hotp":{"window":20}}`, "hotp.quota must be 1 to 15"},
		"an unknown scenario":               {`{"name":"a","scenarios":{"Unlock":{"ask":false}}}`, "scenarios"},
		"C13 a count of logins as negative": {`{"name":"a","offline":{"logins":-1}}`, "offline.logins"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c, err := parse([]byte(tc.document))
			if err != nil {
				t.Fatal(err)
			}
			if _, err = merge(latchkey.BuiltinPolicy(), c[0]); err == nil || !strings.Contains(err.Error(), tc.want) {
				t.Errorf("merge = %v, want an error with %q", err, tc.want)
			}
		})
	}
}
