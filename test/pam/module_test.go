package pam

import (
	"strings"
	"testing"

	"latchkey/internal/frame"
)

// PAM return codes, as Linux-PAM numbers them.
const (
	success         = "0"
	authErr         = "7"
	authinfoUnavail = "9"
	maxtries        = "11"
	credUnavail     = "15"
)

const noAgent = "ERROR|The login service of this machine does not answer. Ask your administrator. (internal)"

func two() *uint32 { n := uint32(2); return &n }

// code is the usual logon: one question, one verdict.
func code(p *peer) {
	p.Send(frame.Tick{Version: 1})
	p.Code("", "424242")
}

// guesses asks again and again, whatever comes.
func guesses(kind frame.Kind, times int) func(*peer) {
	return func(p *peer) {
		for i := range times {
			a := frame.Ask{ID: uint32(i), Kind: kind, Label: "Code"}
			if kind == frame.Choice {
				a.Choices = []frame.Option{{ID: "totp", Label: "App"}}
			}
			if got := p.Ask(a); got == "CANCEL" || got == "EOF" {
				return
			}
		}
		p.Send(frame.Verdict{Outcome: frame.Allow})
	}
}

func TestConversations(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		script  func(*peer)
		service string // "login" when empty
		args    string
		ops     []string // "authenticate" is added
		screen  string   // lines of the screen, the last is the return code
		seen    string   // what the agent got
	}{
		"a right code lets in": {
			script: code, ops: []string{"answer=424242"},
			screen: "OFF|One-time code: \n= authenticate " + success, seen: "424242",
		},
		"a wrong code is denied and told with its reason": {
			script: code, ops: []string{"answer=000000"},
			screen: "OFF|One-time code: \nERROR|That code is not right. (wrong_code)\n= authenticate " + authErr, seen: "000000",
		},
		"an allow without a question lets in and shows its text": {
			script: verdict(frame.Verdict{Outcome: frame.Allow, Reason: "trusted", Text: "2 offline logins left", LoginsLeft: two()}),
			screen: "INFO|2 offline logins left\n= authenticate " + success,
		},
		"not-required lets in": {
			script: verdict(frame.Verdict{Outcome: frame.NotRequired, Reason: "machine_exempt"}),
			screen: "= authenticate " + success,
		},
		"the zero verdict denies": {
			script: verdict(frame.Verdict{}),
			screen: "ERROR|Access denied.\n= authenticate " + authErr,
		},
		"locked is MAXTRIES": {
			script: verdict(frame.Verdict{Outcome: frame.Locked, Reason: "locked", Text: "Too many wrong codes."}),
			screen: "ERROR|Too many wrong codes. (locked)\n= authenticate " + maxtries,
		},
		"unavailable is AUTHINFO_UNAVAIL": {
			script: verdict(frame.Verdict{Outcome: frame.Unavailable, Reason: "internal", Text: "Not now."}),
			screen: "ERROR|Not now. (internal)\n= authenticate " + authinfoUnavail,
		},
		"a choice is shown in the prompt with numbers and ids": {
			script: func(p *peer) {
				p.Ask(frame.Ask{ID: 1, Kind: frame.Choice, Label: "How do you want to sign in?", Choices: []frame.Option{{ID: "totp", Label: "Authenticator app"}, {ID: "fido2", Label: "Security key"}}})
				p.Code("", "1")
			},
			ops:    []string{"answer=2", "answer=1"},
			screen: `ON|  1 totp Authenticator app\n  2 fido2 Security key\nHow do you want to sign in?: ` + "\nOFF|One-time code: \n= authenticate " + success,
			seen:   "2 1",
		},
		"text is echoed and confirm tells the keys": {
			script: func(p *peer) {
				p.Ask(frame.Ask{ID: 1, Kind: frame.Text, Label: "Recovery code:"})
				p.Ask(frame.Ask{ID: 2, Kind: frame.Confirm, Label: "Trust this machine for 2 hours?"})
				p.Send(frame.Verdict{Outcome: frame.Allow})
			},
			ops:    []string{"answer=ABCD", "answer=y"},
			screen: "ON|Recovery code: \nON|Trust this machine for 2 hours? [y/N]: \n= authenticate " + success, seen: "ABCD y",
		},
		"a touch is told and needs no answer": {
			script: func(p *peer) {
				p.Send(frame.Ask{ID: 1, Kind: frame.Touch, Label: "Touch your security key"}, frame.Tick{}, frame.Verdict{Outcome: frame.Allow})
			},
			screen: "INFO|Touch your security key\n= authenticate " + success,
		},
		"a touch with PAM_SILENT is told in a prompt": {
			script: func(p *peer) {
				p.Ask(frame.Ask{ID: 1, Kind: frame.Touch, Label: "Touch your security key"})
				p.Send(frame.Verdict{Outcome: frame.Allow})
			},
			ops:    []string{"silent", "answer="},
			screen: "OFF|Touch your security key (then press Enter) \n= authenticate " + success, seen: "",
		},
		"a SAY is shown at once": {
			script: func(p *peer) { p.Send(frame.Say{Text: "Checking."}, frame.Say{Text: "No.", Error: true}); code(p) },
			ops:    []string{"answer=424242"},
			screen: "INFO|Checking.\nERROR|No.\nOFF|One-time code: \n= authenticate " + success, seen: "424242",
		},
		"a SAY in sshd waits for the next prompt": {
			script: func(p *peer) { p.Send(frame.Say{Text: "Checking."}, frame.Say{Text: "Offline."}); code(p) }, service: "sshd",
			ops:    []string{"answer=424242"},
			screen: `OFF|Checking.\nOffline.\nOne-time code: ` + "\n= authenticate " + success, seen: "424242",
		},
		"M07 with PAM_SILENT only prompts are shown": {
			script: func(p *peer) { p.Send(frame.Say{Text: "Checking."}); code(p) },
			ops:    []string{"silent", "answer=000000"},
			screen: `OFF|Checking.\nOne-time code: ` + "\n= authenticate " + authErr, seen: "000000",
		},
		"lightdm shows the prompt as a message too": {
			script: code, service: "lightdm", ops: []string{"answer=424242"},
			screen: "INFO|One-time code: \nOFF|One-time code: \n= authenticate " + success, seen: "424242",
		},
		"M01 a conversation that fails is a denial and a CANCEL": {
			script: code, ops: []string{"answer=@error"},
			screen: "OFF|One-time code: \n= authenticate " + authErr, seen: "CANCEL",
		},
		"M01 no text in the response is a denial and a CANCEL": {
			script: code, ops: []string{"answer=@null"},
			screen: "OFF|One-time code: \n= authenticate " + authErr, seen: "CANCEL",
		},
		"M01 no response at all is a denial and a CANCEL": {
			script: code, ops: []string{"answer=@none"},
			screen: "OFF|One-time code: \n= authenticate " + authErr, seen: "CANCEL",
		},
		"an answer of 512 bytes goes through": {
			script: func(p *peer) { p.Code("", strings.Repeat("7", 512)) }, ops: []string{"answer=" + strings.Repeat("7", 512)},
			screen: "OFF|One-time code: \n= authenticate " + success, seen: strings.Repeat("7", 512),
		},
		"an answer of 513 bytes is a denial and a CANCEL": {
			script: code, ops: []string{"answer=" + strings.Repeat("7", 513)},
			screen: "OFF|One-time code: \n= authenticate " + authErr, seen: "CANCEL",
		},
		"the fourth guess is not asked for": {
			script: guesses(frame.Secret, 9), ops: []string{"answer=1", "answer=2", "answer=3", "answer=4"},
			screen: "OFF|Code: \nOFF|Code: \nOFF|Code: \n= authenticate " + authErr, seen: "1 2 3 CANCEL",
		},
		"the ninth answer of any kind is not asked for": {
			script: guesses(frame.Choice, 20),
			ops:    []string{"answer=1", "answer=2", "answer=3", "answer=4", "answer=5", "answer=6", "answer=7", "answer=8", "answer=9"},
			screen: strings.Repeat(`ON|  1 totp App\nCode: `+"\n", 8) + "= authenticate " + authErr, seen: "1 2 3 4 5 6 7 8 CANCEL",
		},
		"a changed PAM_USER with another uid is refused after an allow": {
			script: code, ops: []string{"answer=@user:root:424242"},
			screen: "OFF|One-time code: \n= authenticate " + authErr, seen: "424242",
		},
		"a changed PAM_USER that nobody knows is refused after an allow": {
			script: code, ops: []string{"answer=@user:nobody-here:424242"},
			screen: "OFF|One-time code: \n= authenticate " + authErr, seen: "424242",
		},
		"what the agent says cannot steer a terminal": {
			script: verdict(frame.Verdict{Reason: "wrong_code", Text: "a\x1b[2Jb\rc\u009bd\u202ee\x7f\nf\t\u2028é"}),
			screen: `ERROR|a\x1b[2Jb\x0dc\xc2\x9bd\xe2\x80\xaee\x7f\nf\x09\xe2\x80\xa8é (wrong_code)` + "\n= authenticate " + authErr,
		},
		"an unknown argument denies without asking the agent": {
			script: verdict(frame.Verdict{Outcome: frame.Allow}), args: "nullok",
			screen: "= authenticate " + authErr,
		},
		"a split of 3 denies": {
			script: verdict(frame.Verdict{Outcome: frame.Allow}), args: "split=3", screen: "= authenticate " + authErr,
		},
		"a timeout of 111 denies": {
			script: verdict(frame.Verdict{Outcome: frame.Allow}), args: "timeout=111", screen: "= authenticate " + authErr,
		},
		"a timeout of nothing denies": {
			script: verdict(frame.Verdict{Outcome: frame.Allow}), args: "timeout=", screen: "= authenticate " + authErr,
		},
		"a relative socket denies": {
			script: verdict(frame.Verdict{Outcome: frame.Allow}), args: "socket=login.sock", screen: "= authenticate " + authErr,
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			a := play(t, tc.script)
			service := tc.service
			if service == "" {
				service = "login"
			}
			screen, log := drive(t, a, service, "nobody", tc.args, append(tc.ops, "authenticate")...)
			if screen != tc.screen {
				t.Errorf("screen\n%s\nwant\n%s\nlog\n%s", screen, tc.screen, log)
			}
			if got := a.Seen(); got != tc.seen {
				t.Errorf("the agent got %q, want %q", got, tc.seen)
			}
			for _, secret := range []string{"424242", "000000"} {
				if strings.Contains(log, secret) {
					t.Errorf("the log holds an answer: %s", log)
				}
			}
		})
	}
}

func TestTheModuleTellsWhatItKnows(t *testing.T) {
	t.Parallel()
	var hello frame.Hello
	a := play(t, func(p *peer) { hello = p.Hello; verdict(frame.Verdict{Outcome: frame.Allow})(p) })
	screen, _ := drive(t, a, "su-l", "root", "", "tty=/dev/pts/3", "rhost=192.0.2.7", "ruser=nobody", "silent", "authenticate")
	if screen != "= authenticate "+success {
		t.Fatal(screen)
	}
	b := a.Begun(0)
	if b.Op != frame.OpAuthenticate || b.Service != "su-l" || b.User != "root" || b.UID == nil || *b.UID != 0 || b.RUser != "nobody" || b.RUID == nil || *b.RUID != 65534 ||
		b.TTY != "/dev/pts/3" || b.RHost != "192.0.2.7" || b.Flags != frame.FlagSilent || b.FirstFactorDone || b.Scenario != "" || b.AuthEvent != "" {
		t.Errorf("BEGIN %+v", b)
	}
	if hello.Kind != "pam" || hello.Locale != "de_DE.UTF-8" || hello.MinVersion != 1 || hello.MaxVersion != 1 || hello.Caps != 0 {
		t.Errorf("HELLO %+v", hello)
	}
}

func TestOnlySshdsFinishedMethodCountsAsAFirstFactor(t *testing.T) {
	t.Parallel()
	for service, want := range map[string]bool{"sshd": true, "login": false} {
		a := play(t, verdict(frame.Verdict{Outcome: frame.Allow}))
		drive(t, a, service, "nobody", "", "env=SSH_AUTH_INFO_0=publickey ssh-ed25519 AAAA", "authenticate")
		if got := a.Begun(0).FirstFactorDone; got != want {
			t.Errorf("%s: first factor done %v", service, got)
		}
	}
}

func TestM03HostileNamesAreDataForTheAgentAndHarmlessInTheLog(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct{ user, begun, log string }{
		"empty":              {"", "", ""},
		"of 300 characters":  {strings.Repeat("a", 300), strings.Repeat("a", 300), "user=" + strings.Repeat("a", 251)},
		"of 513 characters":  {strings.Repeat("a", 513), "", ""},
		"with a line feed":   {"root\n", "root\n", `user=root\x0a `},
		"a path":             {"../x", "../x", "user=../x "},
		"a format":           {"%n%s", "%n%s", "user=%n%s "},
		"not UTF-8":          {"\xff\xfe", "\xff\xfe", `user=\xff\xfe `},
		"an escape sequence": {"a\x1b[2J\u2028b", "a\x1b[2J\u2028b", `user=a\x1b[2J\xe2\x80\xa8b `},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			a := play(t, func(p *peer) {
				if p.Begin.UID != nil {
					t.Errorf("has uid %d", *p.Begin.UID)
				}
				p.Send(frame.Verdict{Reason: "unknown_identity"})
			})
			screen, log := drive(t, a, "login", tc.user, "", "answer=", "authenticate")
			if !strings.HasSuffix(screen, "= authenticate "+authErr) {
				t.Error(screen)
			}
			if !strings.Contains(log, tc.log) {
				t.Errorf("log %q lacks %q", log, tc.log)
			}
			if tc.begun != "" && a.Begun(0).User != tc.begun {
				t.Errorf("the agent was asked about %q", a.Begun(0).User)
			}
			if tc.begun == "" && len(a.begun) != 0 {
				t.Error("the agent was asked")
			}
		})
	}
}

// scrambled is the answer xored with 0x15, as the driver gets it: a copy that
// the driver finds in plain text is the module's or libpam's.
func scrambled(plain string) string {
	b := []byte(plain)
	for i := range b {
		b[i] ^= 0x15
	}
	return "answer=~" + string(b)
}

func TestM15NoCopyOfTheAnswerStaysInTheProcess(t *testing.T) {
	t.Parallel()
	b := artifacts(t)
	const typed = "kwvbzqjmdyhfxgpcKWVBZQJMDYHFXGPCtnrlseoaTNRLSEOA8351720964286135" // a password and a code of 16
	split16 := []string{"auth [cred_unavail=ignore default=die] MODULE socket=SOCKET split=16 debug", "auth required MODULE socket=SOCKET debug"}
	for name, tc := range map[string]struct {
		stack  []string
		script func(*peer)
		want   string
	}{
		"accepted":   {[]string{"auth required MODULE socket=SOCKET debug"}, func(p *peer) { p.Code("", typed) }, success},
		"refused":    {[]string{"auth required MODULE socket=SOCKET debug"}, func(p *peer) { p.Code("", "1") }, authErr},
		"agent dies": {[]string{"auth required MODULE socket=SOCKET debug"}, func(p *peer) { p.Ask(frame.Ask{ID: 1, Kind: frame.Secret, Label: "One-time code"}) }, authinfoUnavail},
		"one field":  {split16, func(p *peer) { p.Code("", typed[48:]) }, success},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			a := play(t, tc.script)
			dir := stack(t, "login", b.module, a.Socket, tc.stack...)
			got, log := split(driver(t, b.driver, dir, "login", "nobody", "silent", scrambled(typed), "authenticate", "scan"))
			if want := "= authenticate " + tc.want + "\ncopies|0"; !strings.HasSuffix(got, want) {
				t.Errorf("got\n%s\nwant\n%s\nlog\n%s", got, want, log)
			}
		})
	}
}

func TestAnUnknownNameIsNotUidZero(t *testing.T) {
	t.Parallel()
	for from, to := range map[string]string{"root": "nobody-here", "nobody-here": "root"} {
		a := play(t, code)
		screen, log := drive(t, a, "login", from, "", "answer=@user:"+to+":424242", "authenticate")
		if !strings.HasSuffix(screen, "= authenticate "+authErr) || !strings.Contains(log, "PAM_USER changed") {
			t.Errorf("%s became %s:\n%s\n%s", from, to, screen, log)
		}
	}
}

func TestAnAnswerThatLosesTheRaceWithItsVerdictHearsTheVerdict(t *testing.T) {
	t.Parallel()
	a := play(t, func(p *peer) {
		p.Send(frame.Ask{ID: 1, Kind: frame.Secret, Label: "Code", Expiry: 1}, frame.Verdict{Reason: "cancelled", Text: "Too late."})
		p.c.Close()
	})
	screen, _ := drive(t, a, "login", "nobody", "", "answer=@late:1", "authenticate")
	if want := "OFF|Code: \nERROR|Too late. (cancelled)\n= authenticate " + authErr; screen != want {
		t.Errorf("got\n%s\nwant\n%s", screen, want)
	}
}
