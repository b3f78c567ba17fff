package stack

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// debian is a copy of Debian 12's services that a test may change.
func debian(t *testing.T) Tree {
	t.Helper()
	return copyTree(t, "testdata/debian12")
}

func copyTree(t *testing.T, from string) Tree {
	t.Helper()
	root := t.TempDir()
	if err := os.CopyFS(root, os.DirFS(from)); err != nil {
		t.Fatal(err)
	}
	put(t, root, "/usr/lib/x86_64-linux-gnu/security/"+Module, "a module")
	return Tree{Root: root}
}

func put(t *testing.T, root, name, text string) {
	t.Helper()
	file := filepath.Join(root, name)
	if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
}

const account = "account required pam_latchkey.so\n@include common-account\n"

func TestEachStackIsJudged(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		service, text string
		want          State
		reason        string // part of the only reason
	}{
		"Debian's own stack":                  {"login", "", Open, "does not call pam_latchkey.so"},
		"our line behind the password":        {"login", "@include common-auth\nauth required pam_latchkey.so\n" + account, Protected, ""},
		"our line behind a requisite":         {"login", "auth requisite pam_unix.so\nauth required pam_latchkey.so\n" + account, Protected, ""},
		"requisite and an absolute path":      {"login", "@include common-auth\nauth requisite /lib/security/pam_latchkey.so\n" + account, Wrong, "file is missing"},
		"a fragment that includes a gap":      {"login", "@include common-auth\nauth required pam_latchkey.so\nauth include fragment\n" + account, Wrong, "it is chance whether PAM lets anybody in by this service: /etc/pam.d/fragment:1: "},
		"our line sufficient":                 {"login", "@include common-auth\nauth sufficient pam_latchkey.so\n" + account, Wrong, "lets in although our module said auth_err"},
		"our line optional":                   {"login", "@include common-auth\nauth optional pam_latchkey.so\n" + account, Wrong, "lets in although our module said"},
		"the agent's silence ignored":         {"login", "@include common-auth\nauth [success=ok authinfo_unavail=ignore default=bad] pam_latchkey.so\n" + account, Wrong, "lets in although our module said authinfo_unavail"},
		"unknown users ignored":               {"login", "@include common-auth\nauth [success=ok user_unknown=ignore default=bad] pam_latchkey.so\n" + account, Wrong, "lets in although our module said user_unknown"},
		"a reset of our refusal":              {"login", "@include common-auth\nauth [success=ok default=reset] pam_latchkey.so\nauth required pam_permit.so\n" + account, Wrong, "lets in although"},
		"a sufficient password before us":     {"login", "auth sufficient pam_unix.so\nauth required pam_latchkey.so\n" + account, Wrong, "ends the stack before our module when it answers success"},
		"our line before the password":        {"login", "auth required pam_latchkey.so\n@include common-auth\n" + account, Wrong, "although no password was right"},
		"a required password":                 {"login", "auth required pam_unix.so\nauth required pam_latchkey.so\n" + account, Wrong, "although no password was right"},
		"a right password after a wrong one":  {"login", "auth required pam_ldap.so\nauth requisite pam_unix.so\nauth required pam_latchkey.so\n" + account, Wrong, "although no password was right"},
		"no password at all":                  {"login", "auth required pam_latchkey.so\n" + account, Wrong, "although no password was right"},
		"a jump over us":                      {"login", "auth [success=2 default=ignore] pam_unix.so\nauth requisite pam_deny.so\nauth required pam_latchkey.so\nauth required pam_permit.so\n" + account, Wrong, "jumps over our module"},
		"a jump to us":                        {"login", "auth [success=1 default=ignore] pam_unix.so\nauth requisite pam_deny.so\nauth required pam_latchkey.so\nauth required pam_permit.so\n" + account, Protected, ""},
		"a permit that ends before us":        {"login", "auth sufficient pam_permit.so\nauth required pam_latchkey.so\n" + account, Wrong, "pam_permit.so (sufficient) ends the stack"},
		"members of wheel are let past":       {"su", "auth sufficient pam_wheel.so trust\n@include common-auth\nauth required pam_latchkey.so\n" + account, Wrong, "pam_wheel.so trust (sufficient) ends"},
		"a condition skips us":                {"login", "@include common-auth\nauth [success=1 default=ignore] pam_succeed_if.so uid < 1000\nauth required pam_latchkey.so\n" + account, Wrong, "pam_succeed_if.so uid < 1000 ([success=1 default=ignore]) jumps over"},
		"a group of nobody is let past":       {"lightdm", "auth sufficient pam_succeed_if.so user ingroup nopasswdlogin\n@include common-auth\nauth required pam_latchkey.so\n" + account, Protected, ""},
		"a group of somebody is let past":     {"lightdm", "auth sufficient pam_succeed_if.so user ingroup ana\n@include common-auth\nauth required pam_latchkey.so\n" + account, Wrong, "pam_succeed_if.so user ingroup ana"},
		"su lets root past":                   {"su", "auth sufficient pam_rootok.so\n@include common-auth\nauth required pam_latchkey.so\n" + account, Protected, ""},
		"login runs as root and lets it past": {"login", "auth sufficient pam_rootok.so\n@include common-auth\nauth required pam_latchkey.so\n" + account, Wrong, "pam_rootok.so (sufficient) ends"},
		"the account phase lacks us":          {"sshd", "@include common-auth\nauth required pam_latchkey.so\n@include common-account\n", Wrong, "account phase does not call"},
		"the account phase behind a done":     {"sshd", "@include common-auth\nauth required pam_latchkey.so\n@include common-account\naccount required pam_latchkey.so\n", Wrong, "common-account:1 pam_unix.so ([success=1 new_authtok_reqd=done default=ignore]) ends"},
		"the account phase does not count us": {"sshd", "@include common-auth\nauth required pam_latchkey.so\naccount optional pam_latchkey.so\n@include common-account\n", Wrong, "lets in although our module said"},
		"an argument we do not know":          {"login", "@include common-auth\nauth required pam_latchkey.so fail_open\n" + account, Wrong, `does not know "fail_open"`},
		"a substack of RHEL's kind":           {"login", "auth substack sub\nauth required pam_latchkey.so\n" + account, Wrong, "although no password was right"},
		"one field, split":                    {"i3lock", "auth [cred_unavail=ignore default=die] pam_latchkey.so split=6\nauth requisite pam_unix.so use_first_pass\nauth required pam_latchkey.so\n" + account, Protected, ""},
		"only split":                          {"i3lock", "auth [cred_unavail=ignore default=die] pam_latchkey.so split=6\nauth requisite pam_unix.so use_first_pass\n" + account, Wrong, "does not call"},
		"everybody denied":                    {"login", "auth required pam_deny.so\n", Protected, ""},
		"a broken include":                    {"login", "@include nothere\nauth required pam_latchkey.so\n" + account, Wrong, "PAM refuses the whole service"},
		"a line PAM does not understand":      {"login", "@include common-auth\nauth required pam_latchkey.so\nauthh required pam_permit.so\n" + account, Wrong, "no such type"},
		"a service of nobody's":               {"passwd", "", Outside, "changes passwords"},
		"a greeter's own session":             {"lightdm-greeter", "", Outside, "greeter"},
		"automatic login that is off":         {"lightdm-autologin", "", Outside, "which is off"},
		"the vendor's folder":                 {"polkit-1", "", Open, "does not call"},
		"a service without a file":            {"nothere", "", Open, "does not call"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			tree := debian(t)
			put(t, tree.Root, "/etc/pam.d/sub", "auth sufficient pam_unix.so\nauth required pam_deny.so\n")
			put(t, tree.Root, "/etc/pam.d/fragment", "@include nothere\n")
			if tc.text != "" {
				put(t, tree.Root, "/etc/pam.d/"+tc.service, tc.text)
			}
			d := tree.PAMDoor(tc.service)
			if d.State != tc.want {
				t.Errorf("is %s %q, want %s", d.State, d.Reasons, tc.want)
			}
			if tc.reason != "" && !slices.ContainsFunc(d.Reasons, func(r string) bool { return strings.Contains(r, tc.reason) }) {
				t.Errorf("reasons %q, none of them with %q", d.Reasons, tc.reason)
			}
			if len(d.Reasons) > 0 && tc.want == Protected {
				t.Errorf("protected, and yet: %q", d.Reasons)
			}
		})
	}
}

func TestTheModulesFileIsLookedAt(t *testing.T) {
	t.Parallel()
	tree := debian(t)
	put(t, tree.Root, "/etc/pam.d/login", "@include common-auth\nauth required pam_latchkey.so\n"+account)
	file := filepath.Join(tree.Root, "/usr/lib/x86_64-linux-gnu/security/", Module)
	if err := os.Chmod(file, 0o666); err != nil {
		t.Fatal(err)
	}
	if d := tree.PAMDoor("login"); d.State != Wrong || !strings.Contains(strings.Join(d.Reasons, " "), "can write the module's file") {
		t.Errorf("a module that all can write: %s %q", d.State, d.Reasons)
	}
	if err := os.Remove(file); err != nil {
		t.Fatal(err)
	}
	if d := tree.PAMDoor("login"); d.State != Wrong || !strings.Contains(strings.Join(d.Reasons, " "), "missing") {
		t.Errorf("a module that is missing: %s %q", d.State, d.Reasons)
	}
}

func TestEmptyPasswordsAreTold(t *testing.T) {
	t.Parallel()
	tree := debian(t)
	put(t, tree.Root, "/etc/pam.d/login", "@include common-auth\nauth required pam_latchkey.so\n"+account)
	put(t, tree.Root, "/etc/shadow", "root:*:1::::::\nguest::1::::::\n")
	if d := tree.PAMDoor("login"); d.State != Wrong || !strings.Contains(strings.Join(d.Reasons, " "), "guest") {
		t.Errorf("an account without a password: %s %q", d.State, d.Reasons)
	}
}

func TestExemptionsAreTold(t *testing.T) {
	t.Parallel()
	tree := debian(t)
	put(t, tree.Root, "/etc/pam.d/login", "@include common-auth\nauth required pam_latchkey.so rescue_group=admins\n"+account)
	d := tree.PAMDoor("login")
	if d.State != Protected || len(d.Notes) != 1 || !strings.Contains(d.Notes[0], `standing exemption: members of "admins"`) {
		t.Errorf("%s %q, notes %q", d.State, d.Reasons, d.Notes)
	}
}

func TestEveryServiceOfDebianIsListedOnce(t *testing.T) {
	t.Parallel()
	doors, err := debian(t).PAMDoors()
	if err != nil {
		t.Fatal(err)
	}
	got := map[State][]string{}
	for _, d := range doors {
		got[d.State] = append(got[d.State], d.Name)
	}
	want := map[State]string{
		Open:    "i3lock lightdm login other polkit-1 sshd su su-l sudo sudo-i swaylock",
		Outside: "chfn chpasswd chsh cron lightdm-autologin lightdm-greeter newusers passwd runuser runuser-l systemd-user",
	}
	for state, names := range want {
		if s := strings.Join(got[state], " "); s != names {
			t.Errorf("%s: %s\nwant %s", state, s, names)
		}
	}
	if len(got) != len(want) {
		t.Errorf("states: %v", got)
	}
}

func TestASelfIncludeIsSurvived(t *testing.T) {
	t.Parallel()
	tree := debian(t)
	put(t, tree.Root, "/etc/pam.d/loop", "@include loop\n@include loop\n")
	put(t, tree.Root, "/etc/pam.d/loop2", "auth substack loop2\nauth include loop2\nauth required pam_permit.so\n")
	for _, s := range []string{"loop", "loop2"} {
		if d := tree.PAMDoor(s); d.State == Protected {
			t.Errorf("%s is %s", s, d.State)
		}
	}
}

func FuzzLoad(f *testing.F) {
	names, err := filepath.Glob("testdata/*/etc/pam.d/*")
	if err != nil || len(names) == 0 {
		f.Fatal("no seeds", err)
	}
	for _, n := range names {
		data, err := os.ReadFile(n)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(data)
	}
	f.Add([]byte("auth [success=ok\\] default=bad] pam_latchkey.so\\\n# x\nauth substack svc\n@include svc"))
	f.Fuzz(func(t *testing.T, data []byte) {
		root := t.TempDir()
		put(t, root, "/etc/pam.d/svc", string(data))
		tree := Tree{Root: root}
		s := tree.Load("svc")
		v := tree.Judge(s)
		if v.State == Protected && slices.ContainsFunc(s.Auth, Line.Ours) && !v.Protects {
			t.Errorf("protected, but not")
		}
		if end := run(s.Auth, func(i int) Code {
			if s.Auth[i].Ours() {
				return AuthErr
			}
			return s.Auth[i].results(Auth, true)[0]
		}); v.State == Protected && end == Success {
			t.Errorf("protected, and let in against our module")
		}
	})
}
