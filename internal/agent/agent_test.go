//go:build linux

package agent_test

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"latchkey"
	"latchkey/internal/agent"
	"latchkey/internal/api"
	"latchkey/internal/audit"
	"latchkey/internal/frame"
)

func TestAUserLogsInOnlineThenOfflineThenOnline(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.user("ana")
	w.start()
	w.expect(w.signIn("ana", w.next("ana")), "allow verified_online", "the first login")
	w.sync()
	if s := w.status(); !s.Online || len(s.Users) != 1 || s.Users[0].User != "ana" || *s.Users[0].LoginsLeft != 150 || s.Users[0].ValidUntil == nil {
		t.Fatalf("status %+v", s)
	}

	w.unplug()
	code := w.next("ana")
	f := &typist{answers: []string{code}}
	v := w.logon(f, frame.Begin{Service: "login", User: "ana"})
	w.expect(v.Outcome.String()+" "+v.Reason, "allow verified_offline", "without the server")
	if v.LoginsLeft == nil || *v.LoginsLeft != 149 || v.DaysLeft == nil || *v.DaysLeft != 7 {
		t.Errorf("left %v logins, %v days", v.LoginsLeft, v.DaysLeft)
	}
	contains(t, strings.Join(f.said, " "), "150 offline logins left")
	w.expect(w.signIn("ana", code), "deny code_already_used", "B01 the same code again")
	if s := w.status(); s.Online || s.PendingEvents == 0 {
		t.Errorf("status without the server: %+v", s)
	}
	if _, err := agent.NewAdmin(w.admin).Sync(t.Context()); !errors.Is(err, agent.ErrServer) {
		t.Errorf("sync without the server: %v", err)
	}

	w.plug()
	w.sync()
	if s := w.status(); s.PendingEvents != 0 || !s.Online || s.Problem != "" {
		t.Errorf("status after the sync: %+v", s)
	}
	events, err := w.db.Events(t.Context(), audit.Query{Limit: 100})
	w.ok(err)
	var offline int
	for _, e := range events {
		if e.Offline && e.Reason == latchkey.VerifiedOffline {
			offline++
		}
	}
	if offline != 1 {
		t.Errorf("the server knows of %d offline logins, want 1", offline)
	}
	w.expect(w.signIn("ana", code), "deny code_already_used", "B07 a code used offline, online")
	w.expect(w.signIn("ana", w.next("ana")), "allow verified_online", "with the server again")
	w.sync()
	if s := w.status(); *s.Users[0].LoginsLeft != 150 {
		t.Errorf("C03 %d logins left after an online login, want 150", *s.Users[0].LoginsLeft)
	}
}

func TestB02ACodeUsedOnlineIsUsedOffline(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.user("ana")
	w.start()
	w.expect(w.signIn("ana", w.next("ana")), "allow verified_online", "the first login")
	w.sync()
	code := w.next("ana")
	w.expect(w.signIn("ana", code), "allow verified_online", "the second login")
	w.unplug()
	w.expect(w.signIn("ana", code), "deny code_already_used", "the same code without the server")
}

func TestTheServerGoesAwayBetweenQuestionAndAnswer(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.user("ana")
	w.start()
	w.expect(w.signIn("ana", w.next("ana")), "allow verified_online", "the first login")
	w.sync()
	code := w.next("ana")
	v := w.logon(&typist{answers: []string{code}, before: w.unplug}, frame.Begin{Service: "login", User: "ana"})
	w.expect(v.Outcome.String()+" "+v.Reason, "allow verified_offline", "the answer is given to the vault, without a new question")
	w.expect(w.signIn("ana", code), "deny code_already_used", "B01 and to no other login")
}

func TestI12TheServerComesBackDuringAnOfflinePrompt(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.user("ana")
	w.start()
	w.expect(w.signIn("ana", w.next("ana")), "allow verified_online", "the first login")
	w.sync()
	w.unplug()
	code := w.next("ana")
	v := w.logon(&typist{answers: []string{code}, before: w.plug}, frame.Begin{Service: "login", User: "ana"})
	w.expect(v.Outcome.String()+" "+v.Reason, "allow verified_offline", "the login ends where it began")
	w.sync()
	w.expect(w.signIn("ana", code), "deny code_already_used", "and its code is used up everywhere")
}

func TestI08ADenialWithALastingCauseSurvivesTheCable(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.user("ana")
	w.start()
	w.expect(w.signIn("ana", w.next("ana")), "allow verified_online", "the first login")
	w.sync()
	w.disable("ana")
	w.expect(w.signIn("ana"), "deny account_disabled", "with the server")
	w.unplug()
	w.expect(w.signIn("ana", w.next("ana")), "deny account_disabled", "without the server")
}

func TestADisabledUserIsOutAfterTheNextSync(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.user("ana")
	w.start()
	w.expect(w.signIn("ana", w.next("ana")), "allow verified_online", "the first login")
	w.sync()
	w.disable("ana")
	w.sync()
	w.unplug()
	w.expect(w.signIn("ana", w.next("ana")), "deny account_disabled", "without the server")
}

func TestB03ARestartForgetsNothing(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.user("ana")
	w.start()
	w.expect(w.signIn("ana", w.next("ana")), "allow verified_online", "the first login")
	w.sync()
	w.unplug()
	code := w.next("ana")
	w.expect(w.signIn("ana", code), "allow verified_offline", "without the server")
	w.stop()
	w.start()
	w.expect(w.signIn("ana", code), "deny code_already_used", "after the restart")
	w.expect(w.signIn("ana", w.next("ana")), "allow verified_offline", "with the next code")
}

func TestStrangersAreRefused(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.user("ana")
	w.start()
	w.expect(w.signIn("eve", "000000"), "deny unknown_identity", "with the server")
	w.unplug()
	w.expect(w.signIn("eve", "000000"), "deny unknown_identity", "without it")
	w.expect(w.signIn("ana", w.next("ana")), "deny unknown_identity", "who was never seen here")
}

func TestTheAccountPhase(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.user("ana")
	w.start()
	account := func(service, user, proof string) string {
		t.Helper()
		v := w.logon(&typist{}, frame.Begin{Op: frame.OpAccount, Service: service, User: user, AuthEvent: proof})
		return v.Outcome.String() + " " + v.Reason
	}
	w.expect(account("sshd", "ana", ""), "deny condition_failed", "an ssh key alone")
	w.expect(account("sudo", "ana", ""), "not-required scenario_off", "sudo with a valid timestamp")
	w.expect(account("cron", "ana", ""), "not-required scenario_off", "cron")

	v := w.logon(&typist{answers: []string{w.next("ana")}}, frame.Begin{Service: "sshd", User: "ana"})
	w.expect(v.Outcome.String()+" "+v.Reason, "allow verified_online", "ssh with a code")
	if len(v.EventID) < 32 {
		t.Errorf("event %q can be guessed", v.EventID)
	}
	w.expect(account("sshd", "ana", "0"+v.EventID[1:]+"0"), "deny condition_failed", "a made-up event")
	w.expect(account("sshd", "ana", v.EventID), "allow grace", "the account phase of the same login")
	w.expect(account("sshd", "ana", v.EventID), "deny condition_failed", "the same event again")

	v = w.logon(&typist{answers: []string{w.next("ana")}}, frame.Begin{Service: "sshd", User: "ana"})
	w.pass(11 * time.Minute)
	w.expect(account("sshd", "ana", v.EventID), "deny condition_failed", "an event of eleven minutes ago")

	w.machine(func(s *latchkey.MachineSettings) { s.Mode = latchkey.Exempt })
	w.expect(account("sshd", "ana", ""), "not-required machine_exempt", "an ssh key on an exempt machine")
	w.machine(func(s *latchkey.MachineSettings) { s.Mode = latchkey.Enforce })
	w.expect(account("sshd", "ana", ""), "deny condition_failed", "an ssh key on an enforced machine")

	w.disable("ana")
	w.sync()
	for _, service := range []string{"sshd", "sudo", "cron", "login"} {
		w.expect(account(service, "ana", ""), "deny account_disabled", "a disabled user at "+service)
	}
}

func TestTrustIsOfferedAfterALogin(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.user("ana")
	hours := 2
	w.policy(func(p *latchkey.Policy) { p.TrustHours = &hours })
	w.start()
	w.expect(w.signIn("ana", w.next("ana"), "no"), "allow verified_online", "the first login")
	w.sync()
	w.unplug()
	f := &typist{answers: []string{w.next("ana"), "no"}}
	v := w.logon(f, frame.Begin{Service: "login", User: "ana"})
	w.expect(v.Outcome.String()+" "+v.Reason, "allow verified_offline", "trust declined")
	contains(t, strings.Join(f.said, "|"), "Trust this machine until ")
	w.expect(w.signIn("ana", w.next("ana"), "y"), "allow verified_offline", "asked again, trust accepted")
	w.expect(w.signIn("ana"), "allow trusted", "J01 within two hours")
	w.expect(w.elevate("ana"), "deny no verdict: cancelled: context canceled", "J04 elevation is never spared")
	w.pass(2*time.Hour + time.Minute)
	w.expect(w.signIn("ana", w.next("ana"), "no"), "allow verified_offline", "J01 after two hours")
}

func TestTrustIsOfferedWhileTheServerIsThere(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.user("ana")
	hours := 2
	w.policy(func(p *latchkey.Policy) { p.TrustHours = &hours })
	w.start()
	w.expect(w.signIn("ana", w.next("ana"), "yes"), "allow verified_online", "trust accepted")
	w.sync()
	w.expect(w.signIn("ana"), "allow trusted", "J01 within two hours")
	w.expect(w.elevate("ana"), "deny no verdict: cancelled: context canceled", "J04 elevation is never spared")
	w.machine(func(s *latchkey.MachineSettings) { s.Mode = latchkey.Enforce })
	w.expect(w.signIn("ana"), "deny no verdict: cancelled: context canceled", "J06 an enforced machine asks")
	w.machine(func(s *latchkey.MachineSettings) { s.Mode = latchkey.Default })
	w.pass(2*time.Hour + time.Minute)
	w.expect(w.signIn("ana"), "deny no verdict: cancelled: context canceled", "J01 after two hours")
}

func (w *world) elevate(user string) string {
	v := w.logon(&typist{}, frame.Begin{Service: "sudo", User: user})
	return v.Outcome.String() + " " + v.Reason
}

func TestTheLogHoldsNoCode(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.user("ana")
	w.start()
	code := w.next("ana")
	w.expect(w.signIn("ana", code), "allow verified_online", "a login")
	w.expect(w.signIn("ana\x1b[31m", "918273"), "deny unknown_identity", "M03 a name that moves the cursor")
	log := w.log.String()
	contains(t, log, "reason=verified_online")
	for _, bad := range []string{code, "918273", "\x1b"} {
		if strings.Contains(log, bad) {
			t.Errorf("the log holds %q:\n%s", bad, log)
		}
	}
}

func TestOnlyRootAsksTheAgent(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.start()
	if info, err := os.Stat(w.admin); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("the admin socket: %v, %v", info.Mode(), err)
	}
	_, err := agent.NewAdmin(w.admin).Offline(t.Context(), "eve")
	if latchkey.CodeOf(err) != latchkey.NotFound {
		t.Errorf("a user nobody saw: %v", err)
	}
	if _, err := agent.NewAdmin(w.admin + "x").Status(t.Context()); !errors.Is(err, agent.ErrNotRunning) {
		t.Errorf("no agent: %v", err)
	}
}

func TestJoiningIsDoneOnceOrNotAtAll(t *testing.T) {
	t.Parallel()
	w := newServer(t)
	join := func(token, state string) error {
		_, err := agent.Enroll(t.Context(), agent.Join{Token: token, State: state, Name: "pc-1", Clock: w.reading})
		return err
	}
	refused := func(err error, code latchkey.Code, text string) {
		t.Helper()
		if latchkey.CodeOf(err) != code || !strings.Contains(err.Error(), text) {
			t.Errorf("%v, want %s: %s", err, code, text)
		}
	}
	token := w.token()
	refused(join(token[:len(token)-9], w.state), latchkey.Invalid, "cut off or altered")
	refused(join("hello", w.state), latchkey.Invalid, "no enrollment token")
	if _, err := os.Stat(w.state); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("a token that is none left a state directory: %v", err)
	}

	_, text, err := api.NewToken([]string{"https://" + w.addr}, make([]byte, 32), make([]byte, 14), time.Now().Add(time.Hour))
	w.ok(err)
	refused(join(text, w.state), latchkey.Forbidden, "not the server of this token")
	_, text, err = api.NewToken([]string{"https://" + w.addr}, w.pin, make([]byte, 14), time.Now().Add(time.Hour))
	w.ok(err)
	refused(join(text, w.state), latchkey.Forbidden, "does not know this token")
	if _, err := agent.Open(agent.Config{State: w.state, Clock: w.reading}); latchkey.CodeOf(err) != latchkey.Conflict {
		t.Errorf("half a machine runs: %v", err)
	}

	w.unplug()
	if err := join(token, w.state); !errors.Is(err, agent.ErrServer) {
		t.Errorf("without the server: %v", err)
	}
	w.plug()
	w.ok(join(token, w.state)) // the attempts before are in nobody's way
	refused(join(token, w.state), latchkey.Conflict, "enrolled already")
	other := filepath.Join(t.TempDir(), "other")
	refused(join(token, other), latchkey.Forbidden, "used up")

	old := w.token()
	w.pass(25 * time.Hour)
	refused(join(old, other), latchkey.Forbidden, "has expired")
	w.start()
}

func TestAnAnswerThatGotLostCostsNoSecondUse(t *testing.T) {
	t.Parallel()
	w := newServer(t)
	token := w.token()
	join := agent.Join{Token: token, State: w.state, Name: "pc-1", Clock: w.reading}
	_, err := agent.Enroll(t.Context(), join)
	w.ok(err)
	// The power fails while the machine is being written down.
	w.ok(os.WriteFile(filepath.Join(w.state, "enrolling"), nil, 0o600))
	w.ok(os.Remove(filepath.Join(w.state, "settings.dsse")))
	_, err = agent.Enroll(t.Context(), join)
	w.ok(err)
	machines, err := w.db.Machines(t.Context(), latchkey.Page{})
	w.ok(err)
	if len(machines) != 1 {
		t.Errorf("the server knows %d machines", len(machines))
	}
	w.start()
	w.sync()
}

func TestG05TheStateIsItsOwnersAlone(t *testing.T) {
	t.Parallel()
	w := newServer(t)
	w.ok(os.Mkdir(w.state, 0o700))
	w.ok(os.Chown(w.state, 1001, 1002))
	_, err := agent.Enroll(t.Context(), agent.Join{Token: w.token(), State: w.state, Name: "pc-1", Clock: w.reading})
	w.ok(err)
	w.start()
	w.sync()
	w.stop()
	w.ok(filepath.Walk(w.state, func(path string, info os.FileInfo, err error) error {
		if err != nil {
			return err
		}
		if info.Mode().Perm()&0o077 != 0 || ownerOf(info) != [2]uint32{1001, 1002} {
			t.Errorf("%s: %s of %v", path, info.Mode(), ownerOf(info))
		}
		return nil
	}))
}
