package pam

import (
	"os/exec"
	"strings"
	"testing"

	"latchkey/internal/frame"
)

func TestSudo(t *testing.T) {
	t.Parallel()
	t.Run("password and code let in, and the timestamp then spares both", func(t *testing.T) {
		t.Parallel()
		a := play(t, account)
		l := newLab(t, a, "sudo", passwordThenCode...)
		term := onTerminal(t, l.asAna("sudo -k; sudo id; sudo echo M05 again"))
		term.Type("assword for ana:", password)
		term.Type("One-time code: ", "424242")
		term.Until("uid=0(root)")
		// The account phase of the second sudo carries no verdict: this agent
		// denies it. sudo asks for silence, so that the reason is not shown.
		term.Until("account validation failure")
		term.End()
		b := a.Begun(0)
		if b.Service != "sudo" || b.User != "ana" || b.RUser != "ana" || b.UID == nil || *b.UID != anaUID || b.RUID == nil || *b.RUID != anaUID ||
			!b.FirstFactorDone || b.Flags&frame.FlagSilent == 0 || !strings.HasPrefix(b.TTY, "/dev/pts/") {
			t.Errorf("BEGIN %+v", b)
		}
		if b := a.Begun(1); b.Op != frame.OpAccount || b.AuthEvent != "event-1" {
			t.Errorf("account of the first sudo: %+v", b)
		}
		if b := a.Begun(2); b.Op != frame.OpAccount || b.AuthEvent != "" {
			t.Errorf("account of the second sudo: %+v", b)
		}
	})
	for name, tc := range map[string]struct {
		script         func(*peer)
		password, code string
	}{
		"a wrong code is denied":                     {account, password, "000000"},
		"a wrong password is never asked for a code": {account, "wrong", ""},
		"without an agent it is denied":              {nil, password, ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			l := newLab(t, play(t, tc.script), "sudo", passwordThenCode...)
			term := onTerminal(t, l.asAna("sudo -k; sudo id; echo done"))
			term.Type("assword for ana:", tc.password)
			if tc.code != "" {
				term.Type("One-time code: ", tc.code)
			}
			term.Until("incorrect password attempt")
			if out := term.End(); strings.Contains(out, "uid=0") || (tc.code == "") == strings.Contains(out, "One-time") {
				t.Error(out)
			}
		})
	}
	t.Run("M02 Ctrl-C at the code is a CANCEL or a closed connection, never an answer", func(t *testing.T) {
		t.Parallel()
		a := play(t, account)
		l := newLab(t, a, "sudo", passwordThenCode...)
		term := onTerminal(t, l.asAna("sudo -k; sudo id; true"))
		term.Type("assword for ana:", password)
		term.Until("One-time code: ")
		if out := term.Interrupt(); strings.Contains(out, "uid=0") {
			t.Error(out)
		}
		if got := a.Seen(); got != "CANCEL" && got != "EOF" {
			t.Errorf("the agent got %q", got)
		}
	})
}

func TestSu(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct{ code, want string }{
		"right": {"424242", "uid=4202(bo)"},
		"wrong": {"000000", "That code is not right. (wrong_code)"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			a := play(t, account)
			l := newLab(t, a, "su-l", passwordThenCode...)
			term := onTerminal(t, l.asAna("su - bo -c id"))
			term.Type("assword:", password)
			term.Type("One-time code: ", tc.code)
			term.Until(tc.want)
			term.End()
			if b := a.Begun(0); b.User != "bo" || b.RUser != "ana" || b.RUID == nil || *b.RUID != anaUID || b.Service != "su-l" {
				t.Errorf("BEGIN %+v", b)
			}
		})
	}
	t.Run("M05 root changes to a user by pam_rootok, without a code but not without the account phase", func(t *testing.T) {
		t.Parallel()
		a := play(t, verdict(frame.Verdict{Reason: "account_disabled", Text: "This account is disabled."}))
		l := newLab(t, a, "su", append([]string{"auth sufficient pam_rootok.so"}, passwordThenCode...)...)
		term := onTerminal(t, l.command("su", "bo", "-c", "id"))
		term.Until("This account is disabled. (account_disabled)")
		if out := term.End(); strings.Contains(out, "uid=4202") {
			t.Error(out)
		}
		if b := a.Begun(0); b.Op != frame.OpAccount || b.AuthEvent != "" {
			t.Errorf("BEGIN %+v", b)
		}
	})
}

func TestLogin(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		script     func(*peer)
		code, want string
	}{
		"a right code opens the shell":        {account, "424242", "lab-shell-4201"},
		"a wrong code says so":                {account, "000000", "That code is not right. (wrong_code)"},
		"without an agent the screen says so": {nil, "", "does not answer"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			a := play(t, tc.script)
			l := newLab(t, a, "login", passwordThenCode...)
			term := onTerminal(t, l.command("login"))
			term.Type("login: ", "ana")
			term.Type("assword: ", password)
			if tc.code != "" {
				term.Type("One-time code: ", tc.code)
			}
			if tc.code == "424242" {
				term.Type("$ ", "echo lab-shell-$(id -u); exit")
			}
			term.Until(tc.want)
			if tc.script != nil {
				if b := a.Begun(0); b.Service != "login" || b.User != "ana" || !b.FirstFactorDone || b.RHost != "" {
					t.Errorf("BEGIN %+v", b)
				}
			}
		})
	}
}

const keyboard = "PasswordAuthentication no\nKbdInteractiveAuthentication yes\n"

func TestM04SSH(t *testing.T) {
	t.Parallel()
	// The first factor is the key: sshd's service file must not ask for a password then.
	codeOnly := append([]string{"auth required MODULE socket=SOCKET"}, passwordThenCode[2:]...)
	oneField := append([]string{
		"auth [cred_unavail=ignore default=die] MODULE socket=SOCKET split=6",
		"auth requisite pam_unix.so use_first_pass",
		"auth required MODULE socket=SOCKET",
	}, passwordThenCode[2:]...)
	type typed struct{ prompt, line string }
	for name, tc := range map[string]struct {
		script  func(*peer)
		config  string
		stack   []string
		options []string
		typed   []typed
		want    string // "uid=4201(ana)" lets in
		check   func(*testing.T, *agent)
	}{
		"keyboard-interactive, password and code": {
			account, keyboard + "AuthenticationMethods keyboard-interactive", passwordThenCode, nil,
			[]typed{{"assword: ", password}, {"One-time code: ", "424242"}}, "uid=4201(ana)",
			func(t *testing.T, a *agent) {
				if b := a.Begun(0); b.TTY != "ssh" || b.RHost != "127.0.0.1" || b.Service != "sshd" || !b.FirstFactorDone {
					t.Errorf("BEGIN %+v", b)
				}
				if b := a.Begun(1); b.Op != frame.OpAccount || b.AuthEvent != "event-1" {
					t.Errorf("account: %+v", b)
				}
			},
		},
		"keyboard-interactive, wrong code": {
			account, keyboard + "AuthenticationMethods keyboard-interactive", passwordThenCode, nil,
			[]typed{{"assword: ", password}, {"One-time code: ", "000000"}}, "That code is not right. (wrong_code)", nil,
		},
		"keyboard-interactive without an agent": {
			nil, keyboard + "AuthenticationMethods keyboard-interactive", passwordThenCode, nil,
			[]typed{{"assword: ", password}}, "does not answer. Ask your administrator. (internal)", nil,
		},
		"keyboard-interactive, text comes inside the prompt": {
			func(p *peer) {
				if p.Begin.Op == frame.OpAuthenticate {
					p.Send(frame.Say{Text: "The server does not answer."})
				}
				account(p)
			}, keyboard + "AuthenticationMethods keyboard-interactive", passwordThenCode, nil,
			[]typed{{"assword: ", password}, {"The server does not answer.\r\nOne-time code: ", "424242"}}, "uid=4201(ana)", nil,
		},
		"key and code": {
			account, keyboard + "AuthenticationMethods publickey,keyboard-interactive", codeOnly, nil,
			[]typed{{"One-time code: ", "424242"}}, "uid=4201(ana)",
			func(t *testing.T, a *agent) {
				if b := a.Begun(0); !b.FirstFactorDone || b.Op != frame.OpAuthenticate {
					t.Errorf("BEGIN %+v", b)
				}
				if b := a.Begun(1); b.Op != frame.OpAccount || b.AuthEvent != "event-1" {
					t.Errorf("account: %+v", b)
				}
			},
		},
		"key and wrong code": {
			account, keyboard + "AuthenticationMethods publickey,keyboard-interactive", codeOnly, nil,
			[]typed{{"One-time code: ", "1"}}, "Permission denied", nil,
		},
		"the code after the key cannot be had without the key": {
			account, keyboard + "AuthenticationMethods publickey,keyboard-interactive", codeOnly, []string{"-o", "PubkeyAuthentication=no"},
			nil, "Permission denied (publickey)", nil,
		},
		"the code first, then the key: the verdict is spent in the code's process": {
			account, keyboard + "AuthenticationMethods keyboard-interactive,publickey", codeOnly, nil,
			[]typed{{"One-time code: ", "424242"}}, "uid=4201(ana)",
			func(t *testing.T, a *agent) {
				if n := len(a.begun); n != 2 {
					t.Errorf("%d transactions", n)
				}
			},
		},
		"a key alone is stopped in the account phase, with the reason": {
			account, keyboard + "AuthenticationMethods publickey", codeOnly, nil,
			nil, "This machine wants a code at remote logins. (condition_failed)", nil,
		},
		"a key alone of a disabled user": {
			verdict(frame.Verdict{Reason: "account_disabled", Text: "This account is disabled."}), keyboard + "AuthenticationMethods publickey", codeOnly, nil,
			nil, "This account is disabled. (account_disabled)", nil,
		},
		"a key alone where the machine does not ask": {
			verdict(frame.Verdict{Outcome: frame.NotRequired, Reason: "machine_exempt"}), keyboard + "AuthenticationMethods publickey", codeOnly, nil,
			nil, "uid=4201(ana)", nil,
		},
		"a key alone without an agent": {
			nil, keyboard + "AuthenticationMethods publickey", codeOnly, nil, nil, "does not answer. Ask your administrator. (internal)", nil,
		},
		"M08 the password method with password and code in one field": {
			account, "PasswordAuthentication yes\nKbdInteractiveAuthentication no\nAuthenticationMethods password", oneField, nil,
			[]typed{{"assword: ", password + "424242"}}, "uid=4201(ana)",
			func(t *testing.T, a *agent) {
				if b := a.Begun(0); b.Flags&frame.FlagOneField == 0 || !b.FirstFactorDone {
					t.Errorf("BEGIN %+v", b)
				}
				if got := a.Seen(); got != "424242" {
					t.Errorf("the agent got %q", got)
				}
			},
		},
		"M08 one field with a wrong code": {
			account, "PasswordAuthentication yes\nKbdInteractiveAuthentication no\nAuthenticationMethods password", oneField, nil,
			[]typed{{"assword: ", password + "000000"}}, "Permission denied", nil,
		},
		"M08 one field with a wrong password never reaches the agent": {
			account, "PasswordAuthentication yes\nKbdInteractiveAuthentication no\nAuthenticationMethods password", oneField, nil,
			[]typed{{"assword: ", "wrong" + "424242"}}, "Permission denied",
			func(t *testing.T, a *agent) {
				if got := a.Seen(); got != "" || len(a.begun) != 0 {
					t.Errorf("the agent got %q", got)
				}
			},
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			a := play(t, tc.script)
			client := newLab(t, a, "sshd", tc.stack...).sshd(tc.config)
			term := onTerminal(t, client(tc.options...))
			for _, line := range tc.typed {
				term.Type(line.prompt, line.line)
			}
			out := term.End()
			if !strings.Contains(out, tc.want) || strings.Contains(out, "uid=") != strings.HasPrefix(tc.want, "uid=") {
				t.Errorf("want %q\n%s", tc.want, out)
			}
			if tc.check != nil {
				tc.check(t, a)
			}
		})
	}
}

func TestM07NoTerminalDoesNotHang(t *testing.T) {
	t.Parallel()
	a := play(t, account)
	l := newLab(t, a, "sudo", passwordThenCode...)
	out, err := l.asAna("sudo -S id </dev/null").CombinedOutput()
	if err == nil || strings.Contains(string(out), "uid=0") {
		t.Errorf("%v\n%s", err, out)
	}
}

func TestSplitNeverSaysYesItself(t *testing.T) {
	t.Parallel()
	b := artifacts(t)
	for name, tc := range map[string]struct {
		stack  []string
		answer string
		want   string
		seen   string
	}{
		"required instead of the documented control": {[]string{"auth required MODULE socket=SOCKET split=6", "auth required MODULE socket=SOCKET"}, "pw424242", credUnavail, "424242"},
		"alone":                {[]string{"auth [cred_unavail=ignore default=die] MODULE socket=SOCKET split=6"}, "pw424242", "6", ""},
		"a field of six":       {[]string{"auth [cred_unavail=ignore default=die] MODULE socket=SOCKET split=6", "auth required MODULE socket=SOCKET"}, "424242", authErr, ""},
		"one line too many":    {[]string{"auth [cred_unavail=ignore default=die] MODULE socket=SOCKET split=6", "auth required MODULE socket=SOCKET"}, "pw424242", success, "424242"},
		"a field that is huge": {[]string{"auth [cred_unavail=ignore default=die] MODULE socket=SOCKET split=6", "auth required MODULE socket=SOCKET"}, strings.Repeat("p", 600), authErr, ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			a := play(t, code)
			dir := stack(t, "login", b.checked, a.Socket, tc.stack...)
			screen, log := split(driver(t, b.asanDrv, dir, "login", "nobody", "answer="+tc.answer, "authenticate"))
			if want := "= authenticate " + tc.want; !strings.HasSuffix(screen, want) {
				t.Errorf("screen\n%s\nwant %s", screen, want)
			}
			if got := a.Seen(); got != tc.seen {
				t.Errorf("the agent got %q", got)
			}
			if strings.Contains(screen+log, "424242") {
				t.Errorf("the code shows:\n%s\n%s", screen, log)
			}
		})
	}
}

func TestOneFieldAnswersOneSecretAndNothingElse(t *testing.T) {
	t.Parallel()
	b := artifacts(t)
	for name, tc := range map[string]struct {
		script func(*peer)
		seen   string
	}{
		"a choice":       {guesses(frame.Choice, 2), "CANCEL"},
		"a confirmation": {guesses(frame.Confirm, 2), "CANCEL"},
		"visible text":   {guesses(frame.Text, 2), "CANCEL"},
		"a touch":        {guesses(frame.Touch, 1), "CANCEL"},
		"two secrets":    {guesses(frame.Secret, 2), "424242 CANCEL"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			a := play(t, tc.script)
			dir := stack(t, "login", b.checked, a.Socket, "auth [cred_unavail=ignore default=die] MODULE socket=SOCKET split=6", "auth required MODULE socket=SOCKET")
			screen, _ := split(driver(t, b.asanDrv, dir, "login", "nobody", "answer=pw424242", "authenticate"))
			if !strings.HasSuffix(screen, "= authenticate "+authErr) || a.Seen() != tc.seen {
				t.Errorf("screen\n%s\nthe agent got %q", screen, a.Seen())
			}
		})
	}
}

func TestTheToolsOfTheLabExist(t *testing.T) {
	t.Parallel()
	artifacts(t)
	for _, tool := range []string{"pamtester", "sudo", "su", "login", "/usr/sbin/sshd", "ssh", "ssh-keygen", "unshare", "setpriv", "nm", "readelf"} {
		if _, err := exec.LookPath(tool); err != nil {
			t.Error(err)
		}
	}
}
