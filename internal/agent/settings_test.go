//go:build linux

package agent_test

import (
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"latchkey"
	"latchkey/internal/agent"
	"latchkey/internal/frame"
)

func TestALoginThatHasBegunEndsWellWhenTheAgentIsStopped(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.user("ana")
	w.grace = time.Minute
	w.start()
	w.expect(w.signIn("ana", w.next("ana")), "allow verified_online", "the first login")
	stopped := make(chan struct{})
	code := w.next("ana")
	v := w.logon(&typist{answers: []string{code}, before: func() {
		go func() { defer close(stopped); w.stop() }()
	}}, frame.Begin{Service: "login", User: "ana"})
	w.expect(v.Outcome.String()+" "+v.Reason, "allow verified_online", "a login at the prompt while the agent ends")
	<-stopped // as soon as nobody is at a prompt, long before the grace
}

func TestTheAgentEndsThoughSomebodyNeverAnswers(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.user("ana")
	w.grace = 50 * time.Millisecond
	w.start()
	stopped := make(chan struct{})
	v := w.logon(&typist{before: func() {
		go func() { defer close(stopped); w.stop() }()
		<-stopped
	}}, frame.Begin{Service: "login", User: "ana"})
	if v.Outcome.LetsIn() {
		t.Errorf("a login that was cut off: %v", v)
	}
}

func TestASettingsFileIsCheckedAsAWhole(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		text string
		mode os.FileMode
		want string // "" where it is taken
	}{
		"empty":                      {`{}`, 0o644, ""},
		"everything":                 {`{"log_level":"warn","services":{"remote":["vpn"],"unlock":["mylock"]}}`, 0o600, ""},
		"unknown key":                {`{"loglevel":"warn"}`, 0o644, "loglevel"},
		"a key twice":                {`{"log_level":"warn","log_level":"info"}`, 0o644, "log_level"},
		"not JSON":                   {`log_level = warn`, 0o644, "strict"},
		"no level":                   {`{"log_level":"loud"}`, 0o644, `not "loud"`},
		"no scenario":                {`{"services":{"window":["vpn"]}}`, 0o644, `no scenario "window"`},
		"sshd stays remote":          {`{"services":{"unlock":["sshd"]}}`, 0o644, `"sshd" is known already`},
		"one service, two scenarios": {`{"services":{"unlock":["x","x"]}}`, 0o644, "twice"},
		"no name":                    {`{"services":{"unlock":[""]}}`, 0o644, "no service's name"},
		"too many":                   {`{"services":{"remote":["` + manyNames(257) + `"]}}`, 0o644, "more than 256"},
		"others may write it":        {`{}`, 0o666, "nobody else may write"},
		"a group may write it":       {`{}`, 0o664, "nobody else may write"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			path := filepath.Join(t.TempDir(), "agent.json")
			if err := os.WriteFile(path, []byte(tc.text), 0o600); err != nil {
				t.Fatal(err)
			}
			if err := os.Chmod(path, tc.mode); err != nil {
				t.Fatal(err)
			}
			_, err := agent.ReadSettings(path)
			if (err == nil) != (tc.want == "") || err != nil && (!strings.Contains(err.Error(), tc.want) || !strings.Contains(err.Error(), path)) {
				t.Errorf("%v, want %q", err, tc.want)
			}
		})
	}
}

func manyNames(n int) string {
	var names []string
	for i := range n {
		names = append(names, fmt.Sprint("service-", i))
	}
	return strings.Join(names, `","`)
}

func TestSomebodyElsesSettingsAreNotRead(t *testing.T) {
	t.Parallel()
	if os.Geteuid() != 0 {
		t.Skip("needs root to give a file away")
	}
	path := filepath.Join(t.TempDir(), "agent.json")
	if err := os.WriteFile(path, []byte(`{}`), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Chown(path, 1001, 1001); err != nil {
		t.Fatal(err)
	}
	if _, err := agent.ReadSettings(path); err == nil || !strings.Contains(err.Error(), "root's") {
		t.Errorf("%v", err)
	}
}

// account asks by a service; what the account phase says tells the scenario.
func (w *world) account(service string) string {
	v := w.logon(&typist{}, frame.Begin{Op: frame.OpAccount, Service: service, User: "ana"})
	return v.Outcome.String() + " " + v.Reason
}

func (w *world) settle(text string) {
	w.ok(os.WriteFile(w.settings, []byte(text), 0o644))
}

func TestSettingsAreReadAgainAndBadOnesChangeNothing(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.user("ana")
	w.level = &slog.LevelVar{}
	w.start()
	w.expect(w.account("vpn"), "not-required scenario_off", "a service that nobody named")

	w.settle(`{"log_level":"warn","services":{"remote":["vpn"]}}`)
	w.ok(w.agent.Configure())
	w.expect(w.account("vpn"), "deny condition_failed", "a remote one")
	if w.level.Level() != slog.LevelWarn {
		t.Errorf("the log is at %v", w.level.Level())
	}

	w.settle(`{"services":{"console":["vpn"]`)
	if err := w.agent.Configure(); latchkey.CodeOf(err) != latchkey.Invalid {
		t.Errorf("half a file: %v", err)
	}
	w.expect(w.account("vpn"), "deny condition_failed", "after a file that is wrong")
	if got := w.status().Settings; !strings.Contains(got, w.settings) {
		t.Errorf("the status says %q of a file that is wrong", got)
	}

	w.ok(os.Remove(w.settings))
	w.ok(w.agent.Configure())
	w.expect(w.account("vpn"), "not-required scenario_off", "without a file")
	if got := w.status().Settings; got != "" || w.level.Level() != slog.LevelInfo {
		t.Errorf("the status says %q, the log is at %v", got, w.level.Level())
	}
}

func TestAMachineStartsWithSettingsThatAreWrong(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.user("ana")
	w.settle(`{"services":`)
	w.start()
	w.expect(w.signIn("ana", w.next("ana")), "allow verified_online", "a service of the built-in list")
	w.expect(w.account("vpn"), "deny unknown_identity", "a service that may have been in the file")
	w.settle(`{}`)
	w.ok(w.agent.Configure())
	w.expect(w.account("vpn"), "not-required scenario_off", "after it was mended")
}
