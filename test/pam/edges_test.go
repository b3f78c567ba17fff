package pam

import (
	"os"
	"os/exec"
	"path/filepath"
	"sort"
	"strings"
	"testing"

	"latchkey/internal/frame"
)

func TestTheModuleExportsThreeFunctions(t *testing.T) {
	t.Parallel()
	out, err := exec.Command("nm", "-D", "--defined-only", artifacts(t).module).Output()
	check(t, err)
	var names []string
	for _, line := range strings.Split(strings.TrimSpace(string(out)), "\n") {
		f := strings.Fields(line)
		names = append(names, f[len(f)-1])
	}
	sort.Strings(names)
	if got := strings.Join(names, " "); got != "pam_sm_acct_mgmt pam_sm_authenticate pam_sm_setcred" {
		t.Errorf("exports %s", got)
	}
}

func TestTheModuleNeedsLibpamAndLibcOnly(t *testing.T) {
	t.Parallel()
	out, err := exec.Command("readelf", "-dlW", artifacts(t).module).Output()
	check(t, err)
	var needed []string
	for _, line := range strings.Split(string(out), "\n") {
		if strings.Contains(line, "(NEEDED)") {
			needed = append(needed, line[strings.Index(line, "[")+1:strings.Index(line, "]")])
		}
		if f := strings.Fields(line); len(f) > 6 && f[0] == "GNU_STACK" && f[6] != "RW" {
			t.Errorf("stack: %s", line)
		}
	}
	if got := strings.Join(needed, " "); got != "libpam.so.0 libc.so.6" {
		t.Errorf("needs %s", got)
	}
	for _, want := range []string{"GNU_RELRO", "BIND_NOW"} {
		if !strings.Contains(string(out), want) {
			t.Errorf("no %s", want)
		}
	}
}

func TestTheModuleStaysSmallAndNeverIgnores(t *testing.T) {
	t.Parallel()
	files, err := filepath.Glob("../../native/pam/*.[ch]")
	check(t, err)
	lines, seen := 0, 0
	for _, file := range files {
		if strings.HasSuffix(file, "pam_fuzz.c") {
			continue
		}
		source, err := os.ReadFile(file)
		check(t, err)
		lines += strings.Count(string(source), "\n")
		seen++
		code := strings.Replace(string(source), "never returns PAM_IGNORE", "", 1)
		for _, word := range []string{"PAM_IGNORE", "signal(", "sigaction", "fork(", "system(", "popen", "exec", "pthread", "dlopen"} {
			if strings.Contains(code, word) {
				t.Errorf("%s uses %s", file, word)
			}
		}
	}
	if seen < 2 || lines > 600 {
		t.Errorf("%d lines in %d files, 600 are allowed", lines, seen)
	}
}

func TestRescueGroup(t *testing.T) {
	t.Parallel()
	dead := func(*peer) {}
	lets := "= authenticate " + success
	refuses := noAgent + "\n= authenticate " + authinfoUnavail
	for name, tc := range map[string]struct {
		script  func(*peer)
		service string
		user    string
		args    string
		ops     []string
		screen  string
	}{
		"a member at a console gets in":       {dead, "login", "nobody", "rescue_group=nogroup", []string{"tty=/dev/tty1"}, lets},
		"also at a serial line":               {dead, "login", "nobody", "rescue_group=nogroup", []string{"tty=ttyS0"}, lets},
		"also at the system console":          {dead, "login", "nobody", "rescue_group=nogroup", []string{"tty=/dev/console"}, lets},
		"without the argument nobody does":    {dead, "login", "nobody", "", []string{"tty=/dev/tty1"}, refuses},
		"not one who is no member":            {dead, "login", "daemon", "rescue_group=nogroup", []string{"tty=/dev/tty1"}, refuses},
		"not a name without a uid":            {dead, "login", "not-here", "rescue_group=nogroup", []string{"tty=/dev/tty1"}, refuses},
		"not where the group does not exist":  {dead, "login", "nobody", "rescue_group=no-such-group", []string{"tty=/dev/tty1"}, refuses},
		"not at a pseudo terminal":            {dead, "login", "nobody", "rescue_group=nogroup", []string{"tty=/dev/pts/1"}, refuses},
		"not at a terminal called tty":        {dead, "login", "nobody", "rescue_group=nogroup", []string{"tty=/dev/tty"}, refuses},
		"not at a terminal called ttyS":       {dead, "login", "nobody", "rescue_group=nogroup", []string{"tty=ttyS"}, refuses},
		"not at tty1x":                        {dead, "login", "nobody", "rescue_group=nogroup", []string{"tty=tty1x"}, refuses},
		"not without a terminal":              {dead, "login", "nobody", "rescue_group=nogroup", nil, refuses},
		"not from another host":               {dead, "login", "nobody", "rescue_group=nogroup", []string{"tty=tty1", "rhost=192.0.2.7"}, refuses},
		"not in sshd":                         {dead, "sshd", "nobody", "rescue_group=nogroup", []string{"tty=/dev/tty1"}, refuses},
		"not in su":                           {dead, "su", "nobody", "rescue_group=nogroup", []string{"tty=/dev/tty1"}, refuses},
		"not when the agent says unavailable": {verdict(frame.Verdict{Outcome: frame.Unavailable}), "login", "nobody", "rescue_group=nogroup", []string{"tty=tty1"}, "ERROR|Access denied.\n= authenticate " + authinfoUnavail},
		"not when the agent denies":           {verdict(frame.Verdict{}), "login", "nobody", "rescue_group=nogroup", []string{"tty=tty1"}, "ERROR|Access denied.\n= authenticate " + authErr},
		"not after a conversation error":      {code, "login", "nobody", "rescue_group=nogroup", []string{"tty=tty1", "answer=@error"}, "OFF|One-time code: \n= authenticate " + authErr},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			screen, log := drive(t, play(t, tc.script), tc.service, tc.user, tc.args, append(tc.ops, "authenticate")...)
			if screen != tc.screen {
				t.Errorf("screen\n%s\nwant\n%s", screen, tc.screen)
			}
			if told := strings.Contains(log, "LOG1|pam_latchkey_asan(login:auth): LET IN WITHOUT A FACTOR"); told != (tc.screen == lets) {
				t.Errorf("log\n%s", log)
			}
		})
	}
}

func TestRescueGroupHoldsForTheAccountPhaseToo(t *testing.T) {
	t.Parallel()
	screen, _ := drive(t, play(t, nil), "login", "nobody", "rescue_group=nogroup", "tty=tty1", "account")
	if screen != "= account "+success {
		t.Error(screen)
	}
}

// account lets in who carries the event of the verdict before.
func account(p *peer) {
	switch {
	case p.Begin.Op == frame.OpAuthenticate:
		code(p)
	case p.Begin.AuthEvent == "event-1":
		p.Send(frame.Verdict{Outcome: frame.Allow})
	default:
		p.Send(frame.Verdict{Reason: "condition_failed", Text: "This machine wants a code at remote logins."})
	}
}

func TestAccountPhase(t *testing.T) {
	t.Parallel()
	denied := "ERROR|This machine wants a code at remote logins. (condition_failed)\n= account " + authErr
	in := "OFF|One-time code: \n= authenticate " + success
	for name, tc := range map[string]struct {
		script func(*peer)
		ops    []string
		screen string
	}{
		"a login with a verdict goes on":                    {account, []string{"answer=424242", "authenticate", "account"}, in + "\n= account " + success},
		"a login without one (an ssh key) is denied":        {account, []string{"account"}, denied},
		"a denied code leaves no verdict":                   {account, []string{"answer=1", "authenticate", "account"}, "OFF|One-time code: \nERROR|That code is not right. (wrong_code)\n= authenticate " + authErr + "\n" + denied},
		"the verdict of another user does not count":        {account, []string{"answer=424242", "authenticate", "user=daemon", "account"}, in + "\n" + denied},
		"a second authentication drops the first verdict":   {account, []string{"answer=424242", "authenticate", "answer=1", "authenticate", "account"}, in + "\nOFF|One-time code: \nERROR|That code is not right. (wrong_code)\n= authenticate " + authErr + "\n" + denied},
		"a disabled user with an ssh key is denied":         {verdict(frame.Verdict{Reason: "account_disabled", Text: "This account is disabled."}), []string{"account"}, "ERROR|This account is disabled. (account_disabled)\n= account " + authErr},
		"an exempt machine lets in":                         {verdict(frame.Verdict{Outcome: frame.NotRequired, Reason: "machine_exempt"}), []string{"account"}, "= account " + success},
		"a question is cancelled and denied":                {code, []string{"answer=424242", "account"}, "= account " + authErr},
		"without an agent it fails closed":                  {nil, []string{"account"}, noAgent + "\n= account " + authinfoUnavail},
		"setcred says yes and authenticate still says no":   {verdict(frame.Verdict{}), []string{"setcred", "authenticate"}, "= setcred " + success + "\nERROR|Access denied.\n= authenticate " + authErr},
		"setcred after a denial does not repair the denial": {verdict(frame.Verdict{}), []string{"authenticate", "setcred", "account"}, "ERROR|Access denied.\n= authenticate " + authErr + "\n= setcred 6\nERROR|Access denied.\n= account " + authErr},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			a := play(t, tc.script)
			screen, _ := drive(t, a, "sshd", "nobody", "", tc.ops...)
			if screen != tc.screen {
				t.Errorf("screen\n%s\nwant\n%s", screen, tc.screen)
			}
		})
	}
}

// An unconfigured stack gets pam_deny from libpam: our module is not asked.
func TestAMissingFirstFactorIsNotMadeUpFor(t *testing.T) {
	t.Parallel()
	b := artifacts(t)
	for name, tc := range map[string]struct{ first, want string }{
		"requisite stops before the code": {"auth requisite pam_deny.so", "= authenticate " + authErr},
		"Debian's jump stops as well":     {"auth [success=1 default=ignore] pam_deny.so\nauth requisite pam_deny.so\nauth required pam_permit.so", "= authenticate " + authErr},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			a := play(t, verdict(frame.Verdict{Outcome: frame.Allow}))
			dir := stack(t, "login", b.module, a.Socket, tc.first, "auth required MODULE socket=SOCKET")
			if got, _ := split(driver(t, b.driver, dir, "login", "nobody", "authenticate")); got != tc.want {
				t.Errorf("got\n%s", got)
			}
			if len(a.Seen()) != 0 || len(a.begun) != 0 {
				t.Error("the agent was asked")
			}
		})
	}
}

func TestM16AScreenLockerRunsTheModuleAsItsUser(t *testing.T) {
	t.Parallel()
	b := artifacts(t)
	a := play(t, code)
	dir := stack(t, "xscreensaver", b.module, a.Socket, "auth required MODULE socket=SOCKET")
	check(t, os.Chmod(filepath.Dir(dir), 0o755))
	out, err := exec.Command("setpriv", "--reuid", "65534", "--regid", "65534", "--clear-groups", b.driver, dir, "xscreensaver", "nobody", "answer=424242", "authenticate").CombinedOutput()
	if err != nil || !strings.Contains(string(out), "= authenticate "+success) {
		t.Errorf("%v\n%s", err, out)
	}
	if b := a.Begun(0); b.UID == nil || *b.UID != 65534 || b.Service != "xscreensaver" {
		t.Errorf("BEGIN %+v", b)
	}
}

func TestPamtester(t *testing.T) {
	t.Parallel()
	b := artifacts(t)
	for name, tc := range map[string]struct{ typed, want string }{
		"right code": {"424242\n", "successfully authenticated"},
		"wrong code": {"000000\n", "That code is not right. (wrong_code)"},
		"no input":   {"", "Authentication failure"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			a := play(t, account)
			dir := stack(t, "lktest", b.module, a.Socket, "auth required MODULE socket=SOCKET", "account required MODULE socket=SOCKET")
			cmd := exec.Command("unshare", "-m", "--propagation", "private", "sh", "-c", "mount --bind "+filepath.Clean(dir)+" /etc/pam.d && exec pamtester -v lktest nobody authenticate acct_mgmt")
			cmd.Stdin = strings.NewReader(tc.typed)
			out, err := cmd.CombinedOutput()
			if !strings.Contains(string(out), tc.want) {
				t.Errorf("%v\n%s", err, out)
			}
			if good := name == "right code"; good != (err == nil) || good != strings.Contains(string(out), "account management done") {
				t.Errorf("%v\n%s", err, out)
			}
		})
	}
}
