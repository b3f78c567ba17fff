package stack

import (
	"slices"
	"strings"
	"testing"
)

func oneReason(t *testing.T, d Door, want State, reason string) {
	t.Helper()
	if d.State != want {
		t.Errorf("%s is %s %q, want %s", d.Name, d.State, d.Reasons, want)
	}
	if !strings.Contains(strings.Join(append(d.Reasons, d.Notes...), "\n"), reason) {
		t.Errorf("%s: reasons %q, notes %q, none with %q", d.Name, d.Reasons, d.Notes, reason)
	}
	if d.State != Protected && d.Next == "" {
		t.Errorf("%s: nothing to do about it", d.Name)
	}
}

func TestM04EachWayOfSSHIsJudged(t *testing.T) {
	t.Parallel()
	const pam = "@include common-auth\nauth required pam_latchkey.so\n"
	for name, tc := range map[string]struct {
		conf, service string
		door          int
		want          State
		reason        string
	}{
		"key and code":                   {"UsePAM yes\nAuthenticationMethods publickey,keyboard-interactive:pam keyboard-interactive:pam\n", pam + account, 0, Protected, ""},
		"keys alone, account phase ours": {"UsePAM yes\n", pam + account, 0, Protected, "publickey alone is refused in the account phase"},
		"keys alone, account phase not":  {"UsePAM yes\n", pam + "@include common-account\n", 0, Open, "method publickey suffices"},
		"no keys":                        {"UsePAM yes\nPubkeyAuthentication no\nPasswordAuthentication no\n", pam, 0, Protected, ""},
		"password in one field":          {"UsePAM yes\nPubkeyAuthentication no\n", pam, 0, Protected, "cannot show the code's prompt"},
		"no PAM":                         {"UsePAM no\n", pam + account, 0, Open, "UsePAM no"},
		"PAM by default":                 {"", pam + account, 0, Open, "UsePAM no"},
		"the first value counts":         {"usepam=yes\nUsePAM no\nPubkeyAuthentication no\n", pam, 0, Protected, ""},
		"code impossible":                {"UsePAM yes\nAuthenticationMethods publickey,keyboard-interactive\nChallengeResponseAuthentication no\n", pam + account, 0, Wrong, "KbdInteractiveAuthentication is off"},
		"a block with keys alone":        {"UsePAM yes\nAuthenticationMethods keyboard-interactive\nMatch User backup\n  AuthenticationMethods publickey\n", pam, 1, Open, "method publickey suffices"},
		"a block after Match all":        {"UsePAM yes\nMatch User x\nX11Forwarding no\nMatch all\nAuthenticationMethods keyboard-interactive\n", pam, 0, Protected, ""},
		"empty passwords":                {"UsePAM yes\nPermitEmptyPasswords yes\n", pam + account, 0, Wrong, "PermitEmptyPasswords"},
		"root's way is told":             {"UsePAM yes\nPermitRootLogin yes\n", pam + account, 0, Protected, "PermitRootLogin yes"},
		"a drop-in comes first":          {"Include /etc/ssh/sshd_config.d/*.conf\nUsePAM yes\nAuthenticationMethods any\n", pam, 0, Protected, ""},
		"a Match ends with its file":     {"Include /etc/ssh/sshd_config.d/*.conf\nUsePAM yes\n", pam, 1, Open, "method publickey suffices"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			tree := debian(t)
			put(t, tree.Root, "/etc/pam.d/sshd", tc.service)
			put(t, tree.Root, sshdConfig, tc.conf)
			put(t, tree.Root, "/etc/ssh/sshd_config.d/50-x.conf", "AuthenticationMethods keyboard-interactive\nMatch User y\nAuthenticationMethods publickey\n")
			doors := tree.sshDoors("")
			if len(doors) <= tc.door {
				t.Fatalf("only %d doors: %+v", len(doors), doors)
			}
			oneReason(t, doors[tc.door], tc.want, tc.reason)
		})
	}
}

func TestSSHDsOwnWordCounts(t *testing.T) {
	t.Parallel()
	tree := debian(t)
	put(t, tree.Root, sshdConfig, "UsePAM no\n")
	doors := tree.sshDoors("usepam yes\npubkeyauthentication no\npasswordauthentication no\nauthenticationmethods any\n")
	oneReason(t, doors[0], Protected, "")
}

func TestM05SudoIsJudged(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		main, dir string
		want      State
		reason    string
	}{
		"as it ships":          {"Defaults env_reset\nroot ALL=(ALL:ALL) ALL\n%sudo ALL=(ALL:ALL) ALL\n", "", Protected, "15 minutes"},
		"NOPASSWD":             {"@includedir /etc/sudoers.d\n", "ana ALL=(ALL) NOPASSWD: ALL\n", Open, "/etc/sudoers.d/x:1: NOPASSWD for ana"},
		"NOPASSWD, continued":  {"# x\nana ALL=(ALL) \\\n  NOPASSWD: ALL\n", "", Open, "/etc/sudoers:2: NOPASSWD"},
		"NOPASSWD for a uid":   {"#1000 ALL=(ALL) NOPASSWD: ALL\n", "", Open, "NOPASSWD for #1000"},
		"NOPASSWD, commented":  {"# ana ALL=(ALL) NOPASSWD: ALL\nDefaults timestamp_timeout=0 # NOPASSWD: x\n", "", Protected, ""},
		"NOPASSWD for root":    {"root ALL=(ALL) NOPASSWD: ALL\n", "", Protected, ""},
		"the old include":      {"#includedir /etc/sudoers.d\n", "Defaults !authenticate\n", Open, "!authenticate"},
		"no asking for one":    {"Defaults:ana !authenticate\n", "", Open, "!authenticate"},
		"for ever":             {"Defaults env_reset, timestamp_timeout = -1\n", "", Wrong, "never asks again"},
		"five minutes":         {"Defaults timestamp_timeout=5\n", "", Protected, "after 5 minutes"},
		"a group is exempt":    {"Defaults exempt_group=admins\n", "", Open, "members of admins"},
		"no account phase":     {"Defaults !pam_acct_mgmt\n", "", Wrong, "not refused"},
		"another PAM service":  {"Defaults pam_service=mine\n", "", Protected, "uses the PAM service mine"},
		"a missing include":    {"@include /etc/nothere\n", "", Wrong, "/etc/nothere"},
		"an include of itself": {"@include /etc/sudoers\n", "", Wrong, "deep"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			tree := debian(t)
			put(t, tree.Root, sudoers, tc.main)
			put(t, tree.Root, "/etc/sudoers.d/x", tc.dir)
			put(t, tree.Root, "/etc/sudoers.d/x.old", "ana ALL=(ALL) NOPASSWD: ALL\n")
			d, there := tree.SudoDoor()
			if !there {
				t.Fatal("no sudo found")
			}
			oneReason(t, d, tc.want, tc.reason)
		})
	}
}

func TestPolkitIsJudged(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		file, text string
		want       State
		reason     string
	}{
		"a local yes":     {"/etc/polkit-1/rules.d/49-x.rules", "if (subject.isInGroup('x'))\n return polkit.Result.YES;\n", Open, "49-x.rules:2"},
		"a package's yes": {"/usr/share/polkit-1/rules.d/x.rules", "return polkit.Result.YES;\n", Protected, "from a package"},
		"a keep":          {"/etc/polkit-1/rules.d/49-x.rules", "return polkit.Result.AUTH_ADMIN_KEEP;\n", Protected, "KEEP"},
		"a comment":       {"/etc/polkit-1/rules.d/49-x.rules", "// return polkit.Result.YES;\n", Protected, ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			tree := debian(t)
			put(t, tree.Root, tc.file, tc.text)
			d, there := tree.PolkitDoor()
			if !there {
				t.Fatal("no polkit found")
			}
			oneReason(t, d, tc.want, tc.reason)
		})
	}
}

func TestAutomaticLoginsAreTold(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct{ file, text, reason string }{
		"lightdm":       {"/etc/lightdm/lightdm.conf.d/1.conf", "[Seat:*]\nautologin-user=ana\n", "autologin-user"},
		"gdm":           {"/etc/gdm3/daemon.conf", "[daemon]\nAutomaticLoginEnable = True\n", "automaticloginenable"},
		"sddm":          {"/etc/sddm.conf", "[Autologin]\nUser=ana\n", "user lets"},
		"a terminal":    {"/etc/systemd/system/getty@tty1.service.d/o.conf", "[Service]\nExecStart=-/sbin/agetty --autologin ana %I $TERM\n", "comes up logged in"},
		"a debug shell": {"/etc/systemd/system/sysinit.target.wants/debug-shell.service", "", "root shell"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			tree := debian(t)
			put(t, tree.Root, tc.file, tc.text)
			doors := tree.GreeterDoors()
			i := slices.IndexFunc(doors, func(d Door) bool { return d.State != Protected })
			if i < 0 {
				t.Fatalf("nothing found: %+v", doors)
			}
			oneReason(t, doors[i], Open, tc.reason)
		})
	}
	quiet := debian(t)
	put(t, quiet.Root, "/etc/lightdm/lightdm.conf", "[Seat:*]\n#autologin-user=ana\nautologin-user=\n")
	for _, d := range quiet.GreeterDoors() {
		if d.State != Protected {
			t.Errorf("%+v", d)
		}
	}
}

func TestAllDoorsOfAMachineAreListed(t *testing.T) {
	t.Parallel()
	tree := debian(t)
	put(t, tree.Root, sshdConfig, "UsePAM yes\n")
	put(t, tree.Root, sudoers, "")
	put(t, tree.Root, "/etc/polkit-1/x", "")
	put(t, tree.Root, "/usr/sbin/dropbear", "")
	doors, err := tree.Doors("")
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"login", "sshd", "sudoers", "polkit rules", "terminals", "dropbear", "other"} {
		if !slices.ContainsFunc(doors, func(d Door) bool { return d.Name == want && d.Reasons != nil && d.Notes != nil }) {
			t.Errorf("%s is not listed", want)
		}
	}
}
