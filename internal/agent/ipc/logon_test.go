package ipc

import (
	"errors"
	"testing"

	"latchkey"
	"latchkey/internal/frame"
)

func number(n uint32) *uint32 { return &n }

func TestWhoIsToProveWhatToWhom(t *testing.T) {
	t.Parallel()
	root, ana := Caller{UID: 0}, Caller{UID: 1001}
	type want struct {
		err      error
		scenario latchkey.Scenario
		user     string
		uid      *uint32
		local    bool
	}
	for name, tc := range map[string]struct {
		who   Caller
		begin frame.Begin
		want  want
	}{
		"login of a local user": {root, frame.Begin{Service: "login", User: "ana", UID: number(1001)},
			want{nil, latchkey.Console, "ana", number(1001), true}},
		"login of a directory user": {root, frame.Begin{Service: "login", User: "kim", UID: number(90001)},
			want{nil, latchkey.Console, "kim", number(90001), false}},
		"P11 a directory user with a local user's name": {root, frame.Begin{Service: "login", User: "ana", UID: number(90001)},
			want{nil, latchkey.Console, "ana", number(90001), false}},
		"a name without a uid": {root, frame.Begin{Service: "login", User: "kim"},
			want{nil, latchkey.Console, "kim", nil, false}},
		"sudo proves who calls": {root, frame.Begin{Service: "sudo", User: "ana", UID: number(1001), RUser: "ana", RUID: number(1001)},
			want{nil, latchkey.Elevate, "ana", number(1001), true}},
		"su to root proves who calls": {root, frame.Begin{Service: "su-l", User: "root", UID: number(0), RUser: "ben", RUID: number(1002)},
			want{nil, latchkey.Elevate, "ben", number(1002), true}},
		"su to another user proves that user": {root, frame.Begin{Service: "su", User: "ana", UID: number(1001), RUser: "ben", RUID: number(1002)},
			want{nil, latchkey.Elevate, "ana", number(1001), true}},
		"ssh to root proves root": {root, frame.Begin{Service: "sshd", User: "root", UID: number(0), RUser: "ben", RHost: "192.0.2.7"},
			want{nil, latchkey.RemoteLogon, "root", number(0), true}},
		"a named scenario counts": {root, frame.Begin{Scenario: "remote", Service: "cli", User: "ana", UID: number(1001)},
			want{nil, latchkey.RemoteLogon, "ana", number(1001), true}},
		"a scenario that is none": {root, frame.Begin{Scenario: "door", Service: "cli", User: "ana"}, want{err: errName}},
		"M16 a locker of the user's own": {ana, frame.Begin{Service: "i3lock", User: "ana", UID: number(1001)},
			want{nil, latchkey.Unlock, "ana", number(1001), true}},
		"a locker that does not send the uid": {ana, frame.Begin{Service: "i3lock", User: "ana"},
			want{nil, latchkey.Unlock, "ana", number(1001), true}},
		"a locker of a directory user": {Caller{UID: 90001}, frame.Begin{Service: "kde", User: "kim", UID: number(90001)},
			want{nil, latchkey.Unlock, "kim", number(90001), false}},
		"M10 a locker with another's uid":          {ana, frame.Begin{Service: "i3lock", User: "ben", UID: number(1002)}, want{err: errCaller}},
		"M10 a locker with a directory user's uid": {ana, frame.Begin{Service: "i3lock", User: "kim", UID: number(90001)}, want{err: errCaller}},
		"M10 another's name with one's own uid":    {ana, frame.Begin{Service: "i3lock", User: "ben", UID: number(1001)}, want{err: errCaller}},
		"M10 another's name without a uid":         {ana, frame.Begin{Service: "i3lock", User: "ben"}, want{err: errCaller}},
		"M10 root's name":                          {ana, frame.Begin{Service: "i3lock", User: "root", UID: number(0)}, want{err: errCaller}},
		"M10 a user's own sudo question":           {ana, frame.Begin{Service: "sudo", User: "ana", UID: number(1001)}, want{err: errCaller}},
		"M10 a user's own login question":          {ana, frame.Begin{Service: "login", User: "ana", UID: number(1001)}, want{err: errCaller}},
		"M10 a scenario named to look like a lock": {ana, frame.Begin{Scenario: "unlock", Service: "sudo", User: "ben"}, want{err: errCaller}},
		"M03 a name with a line feed":              {root, frame.Begin{Service: "login", User: "root\n"}, want{err: errName}},
		"M03 a name that is not UTF-8":             {root, frame.Begin{Service: "login", User: "\xff\xfe"}, want{err: errName}},
		"M03 a name of 500 bytes":                  {root, frame.Begin{Service: "login", User: string(make([]byte, 500))}, want{err: errName}},
		"M03 a path is only a name nobody has": {root, frame.Begin{Service: "login", User: "../x"},
			want{nil, latchkey.Console, "../x", nil, false}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s, _ := newServer(t, &desk{})
			tc.begin.Op = frame.OpAuthenticate
			l, err := s.logonOf(tc.begin, tc.who)
			if !errors.Is(err, tc.want.err) {
				t.Fatalf("error %v, want %v", err, tc.want.err)
			}
			if err != nil {
				return
			}
			if l.Scenario != tc.want.scenario || l.User != tc.want.user || l.Local != tc.want.local || l.Caller != tc.who.UID {
				t.Errorf("%+v, want %+v", l, tc.want)
			}
			if (l.UID == nil) != (tc.want.uid == nil) || l.UID != nil && *l.UID != *tc.want.uid {
				t.Errorf("uid %v, want %v", l.UID, tc.want.uid)
			}
		})
	}
}

func TestARefusedCallerIsToldNothingAndRecorded(t *testing.T) {
	t.Parallel()
	d := &desk{logon: oneCode}
	s, _ := newServer(t, d)
	line, over := talkTo(t.Context(), s, Caller{UID: 1001})
	mustSend(t, line, hello(), begin("i3lock", "ben"))
	if got := verdictOf(t, line); got != "deny unknown_identity" {
		t.Errorf("%s, want deny unknown_identity", got)
	}
	<-over
	if len(d.refused) != 1 || d.refused[0].User != "ben" || d.refused[0].Caller != 1001 {
		t.Errorf("recorded %+v", d.refused)
	}
}

func TestAccountAsksNothing(t *testing.T) {
	t.Parallel()
	d := &desk{account: func(l latchkey.Logon, proof string) latchkey.Verdict {
		if l.Account && proof == "e1" {
			return latchkey.Verdict{Outcome: latchkey.Allowed, Reason: latchkey.VerifiedOnline}
		}
		return latchkey.DenyVerdict(latchkey.ConditionFailed)
	}}
	s, _ := newServer(t, d)
	line, over := talkTo(t.Context(), s, Caller{})
	mustSend(t, line, hello(), frame.Begin{Op: frame.OpAccount, Service: "sshd", User: "ana", AuthEvent: "e1"})
	if got := verdictOf(t, line); got != "allow verified_online" {
		t.Errorf("%s", got)
	}
	<-over
}

func TestServicesBecomeScenarios(t *testing.T) {
	t.Parallel()
	for service, want := range map[string]latchkey.Scenario{
		"sshd": latchkey.RemoteLogon, "sudo": latchkey.Elevate, "sudo-i": latchkey.Elevate, "su": latchkey.Elevate,
		"su-l": latchkey.Elevate, "polkit-1": latchkey.Elevate, "login": latchkey.Console, "lightdm": latchkey.Console,
		"gdm-password": latchkey.Console, "sddm": latchkey.Console, "greetd": latchkey.Console,
		"xscreensaver": latchkey.Unlock, "i3lock": latchkey.Unlock, "swaylock": latchkey.Unlock, "kde": latchkey.Unlock,
		"gnome-screensaver": latchkey.Unlock, "vlock": latchkey.Unlock, "xsecurelock": latchkey.Unlock,
		"something": latchkey.Console, "SSHD": latchkey.Console,
	} {
		if got, _ := (Services{}).Scenario(service, ""); got != want {
			t.Errorf("%s: %s, want %s", service, got, want)
		}
	}
	if got, _ := (Services{}).Scenario("something", "192.0.2.7"); got != latchkey.RemoteLogon {
		t.Errorf("an unknown service with a remote host: %s, want remote", got)
	}
	if got, _ := (Services{}).Scenario("i3lock", "192.0.2.7"); got != latchkey.Unlock {
		t.Errorf("a known service with a remote host: %s", got)
	}
}

func TestTheFileSaysWhoIsLocal(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		file, user string
		uid        uint32
		found, bad bool
	}{
		"a user":                     {passwd, "ana", 1001, true, false},
		"the first line counts":      {"ana:x:5:5::/:\nana:x:6:6::/:\n", "ana", 5, true, false},
		"the beginning of a name":    {passwd, "an", 0, false, false},
		"no name":                    {passwd, "", 0, false, false},
		"a name with a colon":        {passwd, "ana:x", 0, false, false},
		"another case":               {passwd, "ANA", 0, false, false},
		"a file without an end":      {"ana:x:7:7::/:/bin/sh", "ana", 7, true, false},
		"a uid that is none":         {"ana:x:-1:7::/:\n", "ana", 0, false, true},
		"a uid beyond its width":     {"ana:x:4294967296:7::/:\n", "ana", 0, false, true},
		"a line that is cut short":   {"ana:x\n", "ana", 0, false, true},
		"an empty file":              {"", "ana", 0, false, false},
		"a netgroup line of old NIS": {"+ana::::::\n", "ana", 0, false, false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			a, err := find(tc.file, tc.user)
			if found := err == nil; found != tc.found || found && a.UID != tc.uid {
				t.Errorf("%+v, %v", a, err)
			}
			if bad := err != nil && !errors.Is(err, ErrNoAccount); bad != tc.bad {
				t.Errorf("error %v", err)
			}
		})
	}
}
