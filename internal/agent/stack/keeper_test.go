//go:build linux

package stack

import (
	"errors"
	"os"
	"path/filepath"
	"testing"
	"time"
)

const fiveMinutes = 5 * time.Minute

var morning = Moment{Wall: time.Date(2026, 11, 21, 9, 0, 0, 0, time.UTC), Boot: time.Hour, ID: "boot-1"}

func (m Moment) after(d time.Duration) Moment {
	m.Wall, m.Boot = m.Wall.Add(d), m.Boot+d
	return m
}

// A site is a machine whose login, sshd and polkit-1 are about to be enabled.
func site(t *testing.T) (Keeper, Plan) {
	t.Helper()
	tree := debian(t)
	put(t, tree.Root, sshdConfig, "Include /etc/ssh/sshd_config.d/*.conf\nUsePAM yes\n")
	put(t, tree.Root, "/etc/ssh/sshd_config.d/README", "")
	if err := os.Chmod(filepath.Join(tree.Root, "etc/pam.d/login"), 0o640); err != nil {
		t.Fatal(err)
	}
	p, err := tree.PlanEnable([]string{"login", "sshd", "polkit-1"}, Options{})
	if err != nil {
		t.Fatal(err)
	}
	if len(p.Changes) != 4 {
		t.Fatalf("%d changes:\n%s", len(p.Changes), p.Diff())
	}
	return Keeper{Tree: tree, State: t.TempDir()}, p
}

func TestAChangeThatNobodyConfirmsIsTakenBack(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		now  Moment
		back bool
	}{
		"not before five minutes":           {morning.after(fiveMinutes - time.Second), false},
		"after five minutes":                {morning.after(fiveMinutes), true},
		"after a restart":                   {Moment{morning.Wall.Add(time.Minute), time.Second, "boot-2"}, true},
		"after a restart with a dead clock": {Moment{time.Unix(0, 0), time.Second, "boot-2"}, true},
		"with the clock set back":           {Moment{morning.Wall.Add(-time.Hour), morning.Boot + fiveMinutes, "boot-1"}, true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			k, p := site(t)
			before := snapshot(t, k.Tree.Root)
			if err := k.Apply(p, morning, fiveMinutes); err != nil {
				t.Fatal(err)
			}
			changed := snapshot(t, k.Tree.Root)
			if changed == before || k.Tree.PAMDoor("login").State != Protected {
				t.Fatal("nothing was changed")
			}
			left, reverted, err := k.RevertDue(tc.now)
			if err != nil || reverted != tc.back || (left > 0) == tc.back {
				t.Fatalf("left %v, reverted %v, %v", left, reverted, err)
			}
			want := map[bool]string{true: before, false: changed}[tc.back]
			if got := snapshot(t, k.Tree.Root); got != want {
				t.Errorf("tree:\n%s", got)
			}
		})
	}
}

func TestAConfirmedChangeStays(t *testing.T) {
	t.Parallel()
	k, p := site(t)
	if err := k.Apply(p, morning, fiveMinutes); err != nil {
		t.Fatal(err)
	}
	if err := k.Apply(p, morning, fiveMinutes); !errors.Is(err, ErrPending) {
		t.Errorf("a second change before the first is confirmed: %v", err)
	}
	changed := snapshot(t, k.Tree.Root)
	if err := k.Confirm(); err != nil {
		t.Fatal(err)
	}
	if _, reverted, err := k.RevertDue(morning.after(time.Hour)); reverted || err != nil {
		t.Errorf("reverted %v, %v", reverted, err)
	}
	if snapshot(t, k.Tree.Root) != changed {
		t.Error("a confirmed change was taken back")
	}
	if err := k.Confirm(); !errors.Is(err, ErrNothingPending) {
		t.Errorf("confirming twice: %v", err)
	}
	backups, err := filepath.Glob(filepath.Join(k.State, backupDir, "login.*"))
	if err != nil || len(backups) != 1 {
		t.Fatalf("backups: %v %v", backups, err)
	}
	info, err := os.Stat(backups[0])
	if err != nil || info.Mode().Perm() != 0o640 {
		t.Errorf("backup: %v %v", info.Mode(), err)
	}
}

type powerFailure struct{}

// After each step the power fails. No file may be half written, and what is
// left must be taken back to what was before.
func TestThePowerFailsAfterEachStep(t *testing.T) {
	t.Parallel()
	k, p := site(t)
	var steps []string
	k.crash = func(s string) { steps = append(steps, s) }
	if err := k.Apply(p, morning, fiveMinutes); err != nil {
		t.Fatal(err)
	}
	applied := len(steps)
	if err := k.Revert(); err != nil {
		t.Fatal(err)
	}
	if applied < 20 || len(steps) < applied+14 {
		t.Fatalf("steps: %q", steps)
	}
	for n := range len(steps) {
		t.Run(steps[n], func(t *testing.T) {
			t.Parallel()
			k, p := site(t)
			before := snapshot(t, k.Tree.Root)
			count := 0
			k.crash = func(string) {
				if count++; count == n+1 {
					panic(powerFailure{})
				}
			}
			func() {
				defer func() {
					if r := recover(); r != nil && r != (powerFailure{}) {
						panic(r)
					}
				}()
				if err := k.Apply(p, morning, fiveMinutes); err == nil {
					_ = k.Revert()
				}
			}()
			k.crash = nil
			whole(t, k.Tree, p)
			if _, _, err := k.RevertDue(Moment{morning.Wall, 0, "boot-2"}); err != nil {
				t.Fatal(err)
			}
			if after := snapshot(t, k.Tree.Root); after != before {
				t.Errorf("after the power came back:\n%s", after)
			}
			if err := k.Apply(p, morning, fiveMinutes); err != nil {
				t.Errorf("once more: %v", err)
			}
		})
	}
}

// whole: each file is as before or as after.
func whole(t *testing.T, tree Tree, p Plan) {
	t.Helper()
	for _, c := range p.Changes {
		data, err := os.ReadFile(tree.plainPath(c.File))
		if errors.Is(err, os.ErrNotExist) && !c.Existed {
			continue
		}
		if err != nil || (string(data) != string(c.Before) && string(data) != string(c.After)) {
			t.Errorf("%s is neither old nor new: %v %q", c.File, err, data)
		}
	}
}

func TestAFileThatChangedMeanwhileIsLeftAlone(t *testing.T) {
	t.Parallel()
	k, p := site(t)
	put(t, k.Tree.Root, "/etc/pam.d/login", "auth required pam_deny.so\n")
	if err := k.Apply(p, morning, fiveMinutes); !errors.Is(err, ErrChanged) {
		t.Fatalf("after the plan: %v", err)
	}
	k, p = site(t)
	if err := k.Apply(p, morning, fiveMinutes); err != nil {
		t.Fatal(err)
	}
	put(t, k.Tree.Root, "/etc/pam.d/login", "auth required pam_deny.so\n")
	_, reverted, err := k.RevertDue(morning.after(time.Hour))
	if !reverted || !errors.Is(err, ErrChanged) {
		t.Errorf("reverted %v, %v", reverted, err)
	}
	if data, _ := os.ReadFile(k.Tree.plainPath("/etc/pam.d/login")); string(data) != "auth required pam_deny.so\n" {
		t.Errorf("somebody's change was overwritten: %q", data)
	}
	if k.Tree.PAMDoor("sshd").State != Open {
		t.Error("the other files were not taken back")
	}
	if _, err := k.Pending(); !errors.Is(err, ErrNothingPending) {
		t.Errorf("it would be tried again for ever: %v", err)
	}
}

func TestASSHDThatRefusesUndoesAll(t *testing.T) {
	t.Parallel()
	k, p := site(t)
	before := snapshot(t, k.Tree.Root)
	refused := errors.New("bad configuration option")
	k.CheckSSHD = func() error {
		if !k.Tree.exists(sshdDropIn) {
			t.Error("asked before the drop-in was there")
		}
		return refused
	}
	if err := k.Apply(p, morning, fiveMinutes); !errors.Is(err, refused) {
		t.Errorf("%v", err)
	}
	if snapshot(t, k.Tree.Root) != before {
		t.Error("something stayed")
	}
	k.CheckSSHD = nil
	k.StartTimer = func() error { return refused }
	if err := k.Apply(p, morning, fiveMinutes); !errors.Is(err, refused) {
		t.Errorf("%v", err)
	}
	if snapshot(t, k.Tree.Root) != before {
		t.Error("something stayed without a timer")
	}
}

func TestOnlyRootsPendingRevertIsBelieved(t *testing.T) {
	t.Parallel()
	forged := `{"boot_id":"x","files":[{"file":"/etc/pam.d/login","existed":true,"before":"eA=="}]}`
	t.Run("a mode that others can write", func(t *testing.T) {
		t.Parallel()
		k, _ := site(t)
		put(t, k.State, pendingName, forged)
		if _, _, err := k.RevertDue(morning); !errors.Is(err, ErrUntrusted) {
			t.Error(err)
		}
	})
	t.Run("somebody else's file", func(t *testing.T) {
		t.Parallel()
		if os.Geteuid() != 0 {
			t.Skip("only root can give files away")
		}
		k, _ := site(t)
		put(t, k.State, pendingName, forged)
		file := filepath.Join(k.State, pendingName)
		if err := errors.Join(os.Chmod(file, 0o600), os.Chown(file, 65534, 65534)); err != nil {
			t.Fatal(err)
		}
		if _, _, err := k.RevertDue(morning); !errors.Is(err, ErrUntrusted) {
			t.Error(err)
		}
	})
	t.Run("a link", func(t *testing.T) {
		t.Parallel()
		k, _ := site(t)
		put(t, k.State, "x", forged)
		if err := errors.Join(os.Chmod(filepath.Join(k.State, "x"), 0o600), os.Symlink("x", filepath.Join(k.State, pendingName))); err != nil {
			t.Fatal(err)
		}
		if _, _, err := k.RevertDue(morning); !errors.Is(err, ErrUntrusted) {
			t.Error(err)
		}
	})
	t.Run("another file", func(t *testing.T) {
		t.Parallel()
		k, _ := site(t)
		put(t, k.Tree.Root, "/etc/shadow", "x")
		for _, f := range []string{"/etc/shadow", "/etc/pam.d/../shadow", "/etc/pam.d/.x"} {
			if err := k.undoFile(Undo{File: f, Before: []byte("y"), Existed: true, After: digest([]byte("x"))}); !errors.Is(err, ErrUntrusted) {
				t.Errorf("%s: %v", f, err)
			}
		}
	})
}

// From plan to disable with the real library: our line stands for a module that
// says yes, and then for one that says no.
func TestLibpamSeesWhatIsEnabled(t *testing.T) {
	w, p := newWorkshop(t), startLibpam(t)
	w.write(t, "common", "auth [success=1 default=ignore] "+w.password+" auth=success\nauth requisite pam_deny.so\nauth required pam_permit.so\n")
	w.write(t, "svc", "@include "+filepath.Join(w.dir, "common")+"\naccount required pam_permit.so\n")
	before := snapshot(t, w.dir)
	k := Keeper{Tree: w.tree(), State: t.TempDir()}
	plan, err := k.Tree.PlanEnable([]string{"svc"}, Options{Module: w.ours})
	if err != nil {
		t.Fatal(err)
	}
	if err := k.Apply(plan, morning, fiveMinutes); err != nil {
		t.Fatal(err)
	}
	if e := p.run(t, w.dir, "svc", Auth); e.result != Success {
		t.Errorf("our yes: %s", e.result)
	}
	swap(t, w.ours, "pam_deny.so")
	for _, phase := range []Phase{Auth, Account} {
		if e := p.run(t, w.dir, "svc", phase); e.result == Success {
			t.Errorf("our no lets in (%s)", phase)
		}
	}
	if _, reverted, err := k.RevertDue(morning.after(time.Hour)); !reverted || err != nil {
		t.Fatal(reverted, err)
	}
	if e := p.run(t, w.dir, "svc", Auth); e.result != Success {
		t.Errorf("after the revert: %s", e.result)
	}
	swap(t, w.ours, "pam_debug.so")
	if snapshot(t, w.dir) != before {
		t.Error("the revert left something")
	}
}

func swap(t *testing.T, link, name string) {
	t.Helper()
	target := filepath.Join(filepath.Dir(debugModule(t)), name)
	if err := errors.Join(os.Remove(link), os.Symlink(target, link)); err != nil {
		t.Fatal(err)
	}
}

func TestTheClocksAreRead(t *testing.T) {
	t.Parallel()
	m, err := Now()
	if err != nil || m.Boot <= 0 || len(m.ID) != 36 || m.Wall.IsZero() {
		t.Errorf("%+v %v", m, err)
	}
}
