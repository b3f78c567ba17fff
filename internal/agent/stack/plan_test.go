//go:build linux

package stack

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

func TestAPlanProtectsWhatItNames(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		services string
		options  Options
		diff     string // part of it
		also     string // services that are protected, too
	}{
		"login":            {"login", Options{}, " @include common-auth\n+auth\trequired\tpam_latchkey.so\n auth       optional   pam_group.so\n", ""},
		"its account line": {"sshd", Options{}, "+account\trequired\tpam_latchkey.so\n account    required     pam_nologin.so\n", ""},
		"a rescue group":   {"login", Options{RescueGroup: "admins"}, "+auth\trequired\tpam_latchkey.so rescue_group=admins\n", ""},
		"a socket":         {"login", Options{Socket: "/x/s"}, "+auth\trequired\tpam_latchkey.so socket=/x/s\n", ""},
		"su and su-l":      {"su-l su", Options{}, "--- /etc/pam.d/su\n", "su-l"},
		"the vendor's":     {"polkit-1", Options{}, "--- /dev/null\n+++ /etc/pam.d/polkit-1\n@@ -0,0 +1,8 @@\n+@include common-auth\n+auth\trequired\tpam_latchkey.so\n+account\trequired", ""},
		"a locker":         {"i3lock", Options{Split: 6}, "+auth\t[cred_unavail=ignore default=die]\tpam_latchkey.so split=6\n @include common-auth\n+auth\trequired\tpam_latchkey.so\n", ""},
		"a greeter":        {"lightdm", Options{}, " @include common-auth\n+auth\trequired\tpam_latchkey.so\n", ""},
		"all others":       {"other", Options{}, " @include common-auth\n+auth\trequired\tpam_latchkey.so\n", ""},
		"many":             {"login sshd sudo sudo-i", Options{}, "+++ /etc/pam.d/sudo-i\n", ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			tree := debian(t)
			services := strings.Fields(tc.services)
			p, err := tree.PlanEnable(services, tc.options)
			if err != nil {
				t.Fatal(err)
			}
			if !strings.Contains(p.Diff(), tc.diff) {
				t.Errorf("diff:\n%s\nwant in it:\n%s", p.Diff(), tc.diff)
			}
			apply(t, tree, p)
			for _, s := range append(services, strings.Fields(tc.also)...) {
				if d := tree.PAMDoor(s); d.State != Protected {
					t.Errorf("%s is %s: %q", s, d.State, d.Reasons)
				}
			}
			again, err := tree.PlanEnable(services, tc.options)
			if err != nil || len(again.Changes) != 0 {
				t.Errorf("a second time: %v %s", err, again.Diff())
			}
		})
	}
}

func apply(t *testing.T, tree Tree, p Plan) {
	t.Helper()
	k := Keeper{Tree: tree, State: t.TempDir()}
	if err := k.Apply(p, morning, fiveMinutes); err != nil {
		t.Fatal(err)
	}
	if err := k.Confirm(); err != nil {
		t.Fatal(err)
	}
}

func TestAPlanIsRefused(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		service, text string
		want          error
		saying        string
	}{
		"for a service without a file":       {"nothere", "", ErrNoService, ""},
		"for a path":                         {"../passwd", "", ErrNoService, ""},
		"for a hidden file":                  {".x", "", ErrNoService, ""},
		"for no way in":                      {"cron", "", nil, "is no way in"},
		"for one field without split":        {"i3lock", "", ErrOneField, ""},
		"where a sufficient password ends":   {"login", "auth sufficient pam_unix.so\nauth required pam_deny.so\n", ErrNoPlace, "ends the stack before our module"},
		"where RHEL's substack goes on":      {"login", "auth substack sub\n", ErrNoPlace, "no password was right"},
		"where the file goes on to nowhere":  {"login", "auth required pam_unix.so \\\n", errUnfinished, ""},
		"where PAM refuses the file already": {"login", "@include nothere\n", nil, "no such file"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			tree := debian(t)
			put(t, tree.Root, "/etc/pam.d/sub", "auth sufficient pam_unix.so\nauth required pam_deny.so\n")
			if tc.text != "" {
				put(t, tree.Root, "/etc/pam.d/"+tc.service, tc.text)
			}
			p, err := tree.PlanEnable([]string{tc.service}, Options{})
			if err == nil || (tc.want != nil && !errors.Is(err, tc.want)) || !strings.Contains(err.Error(), tc.saying) {
				t.Errorf("plan %q, error %v, want %v with %q", p.Diff(), err, tc.want, tc.saying)
			}
		})
	}
}

func TestAMissingModuleDoesNotHinderAPlan(t *testing.T) {
	t.Parallel()
	tree := debian(t)
	if err := os.Remove(tree.path("/usr/lib/x86_64-linux-gnu/security/" + Module)); err != nil {
		t.Fatal(err)
	}
	p, err := tree.PlanEnable([]string{"su", "su-l"}, Options{})
	if err != nil || len(p.Changes) != 1 {
		t.Fatalf("%v\n%s", err, p.Diff())
	}
	apply(t, tree, p)
	again, err := tree.PlanEnable([]string{"su-l", "su"}, Options{})
	if err != nil || len(again.Changes) != 0 {
		t.Errorf("a second time: %v\n%s", err, again.Diff())
	}
}

func TestALinkIsNotFollowed(t *testing.T) {
	t.Parallel()
	tree := debian(t)
	out := filepath.Join(t.TempDir(), "authselect")
	if err := os.WriteFile(out, []byte("@include common-auth\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	for name, target := range map[string]string{"outside": out, "inside": "sudo"} {
		if err := os.Symlink(target, filepath.Join(tree.Root, "etc/pam.d", name)); err != nil {
			t.Fatal(err)
		}
		if _, err := tree.PlanEnable([]string{name}, Options{}); !errors.Is(err, ErrLink) {
			t.Errorf("%s: %v", name, err)
		}
		if _, err := tree.PlanDisable([]string{name}); !errors.Is(err, ErrLink) {
			t.Errorf("%s: %v", name, err)
		}
	}
	p, err := tree.PlanEnable([]string{"login"}, Options{})
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(tree.Root, "etc/pam.d/login")
	if err := errors.Join(os.Remove(file), os.Symlink(out, file)); err != nil {
		t.Fatal(err)
	}
	if err := (Keeper{Tree: tree, State: t.TempDir()}).Apply(p, morning, fiveMinutes); !errors.Is(err, ErrLink) {
		t.Errorf("a link that came after the plan: %v", err)
	}
	if data, _ := os.ReadFile(out); string(data) != "@include common-auth\n" {
		t.Errorf("the file outside is now %q", data)
	}
}

func TestSSHDGetsItsDropIn(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		conf    string
		dropped bool
		note    string
	}{
		"as Debian ships it":        {"Include /etc/ssh/sshd_config.d/*.conf\nUsePAM yes\n", true, ""},
		"a block of its own":        {"Include /etc/ssh/sshd_config.d/*.conf\nMatch User x\nAuthenticationMethods publickey\n", true, "sshd, Match User x stays open"},
		"without an include":        {"UsePAM yes\n", false, "by hand"},
		"with other methods before": {"AuthenticationMethods publickey\nInclude /etc/ssh/sshd_config.d/*.conf\n", false, "by hand"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			tree := debian(t)
			put(t, tree.Root, sshdConfig, tc.conf)
			put(t, tree.Root, "/etc/ssh/sshd_config.d/README", "")
			p, err := tree.PlanEnable([]string{"sshd"}, Options{})
			if err != nil {
				t.Fatal(err)
			}
			if got := strings.Contains(p.Diff(), sshdDropIn); got != tc.dropped {
				t.Errorf("drop-in: %v\n%s", got, p.Diff())
			}
			if !strings.Contains(strings.Join(p.Notes, "\n"), tc.note) {
				t.Errorf("notes: %q", p.Notes)
			}
			apply(t, tree, p)
			off, err := tree.PlanDisable([]string{"sshd"})
			if err != nil {
				t.Fatal(err)
			}
			apply(t, tree, off)
			if tree.exists(sshdDropIn) {
				t.Error("the drop-in stays when disabled")
			}
		})
	}
}

func TestDisableLeavesWhatWasBefore(t *testing.T) {
	t.Parallel()
	tree := debian(t)
	before := snapshot(t, tree.Root)
	services := []string{"login", "sshd", "su", "su-l", "sudo", "sudo-i", "polkit-1", "lightdm", "other"}
	on, err := tree.PlanEnable(services, Options{RescueGroup: "g"})
	if err != nil {
		t.Fatal(err)
	}
	apply(t, tree, on)
	if snapshot(t, tree.Root) == before {
		t.Fatal("nothing was enabled")
	}
	off, err := tree.PlanDisable(services)
	if err != nil {
		t.Fatal(err)
	}
	apply(t, tree, off)
	if after := snapshot(t, tree.Root); after != before {
		t.Errorf("before:\n%s\nafter:\n%s", before, after)
	}
}

// snapshot is the contents, modes and owners of all files.
func snapshot(t *testing.T, root string) string {
	t.Helper()
	var b strings.Builder
	err := filepath.WalkDir(root, func(p string, d os.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		data, err := os.ReadFile(p)
		if err != nil {
			return err
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		uid, gid := owner(info)
		b.WriteString(strings.TrimPrefix(p, root) + " " + info.Mode().String() + " " + strings.Repeat("u", uid) + strings.Repeat("g", gid) + "\n" + string(data) + "\n")
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return b.String()
}

func TestWhatIsInsertedIsRemovedExactly(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		lines := rapid.SliceOfN(rapid.SampledFrom([]string{
			"@include common-auth", "auth required \\\n pam_unix.so # x", "# a comment", "", "account required pam_unix.so", "session optional pam_x.so", "auth\tinclude\tsu",
		}), 1, 8).Draw(t, "lines")
		end := rapid.SampledFrom([]string{"", "\n", "\n\n"}).Draw(t, "end")
		base := []byte(strings.Join(lines, "\n") + end)
		parts, err := Tree{Root: "testdata/debian12"}.parts("/etc/pam.d/x", base)
		if err != nil {
			t.Fatal(err)
		}
		for _, at := range parts {
			with := insert(base, parts, at, Options{Split: rapid.IntRange(0, 1).Draw(t, "split") * 6})
			without, err := withoutOurs(with)
			if err != nil || !bytes.Equal(without, base) {
				t.Fatalf("%v\nbefore %q\nwith   %q\nafter  %q", err, base, with, without)
			}
			if !bytes.Contains(with, []byte("required\t"+Module)) {
				t.Fatalf("nothing inserted: %q", with)
			}
		}
	})
}

func TestADiffIsWhatPatchTakes(t *testing.T) {
	t.Parallel()
	before := []byte("1\n2\n3\n4\n5\n6\n7\n8\n9\n10\n11\n12\n13\n14\n15\n16\n")
	p := Plan{Changes: []Change{{File: "/f", Existed: true, Before: before, After: []byte("0\n1\n2\n3\n4\n5\n6\n7\n8\n9\n10\n11\n12\n13\n15\n16")}}}
	const want = `--- /f
+++ /f
@@ -1,3 +1,4 @@
+0
 1
 2
 3
@@ -11,6 +12,5 @@
 11
 12
 13
-14
 15
-16
+16
\ No newline at end of file
`
	if got := p.Diff(); got != want {
		t.Errorf("%s", got)
	}
}
