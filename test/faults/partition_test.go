//go:build linux

package faults_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"latchkey/test/lab"
)

func TestB07ACodeUsedInTwoPartsOfACutNetworkIsFoundAtTheMerge(t *testing.T) {
	t.Parallel()
	w := newAna(t)
	desk := w.machine("desk", "ana")
	w.ready(w.laptop, "ana")
	w.ready(desk, "ana")
	w.laptop.Cut(lab.PortsClosed)
	code := w.code("ana")
	w.want(w.laptop.Login("ana", code), offline)
	w.want(desk.Login("ana", code), online, "B07 once per connected part")
	if found := w.incidents(); len(found) > 0 {
		t.Fatalf("B07 an incident before anybody could know: %+v", found)
	}
	w.laptop.Restore()
	w.laptop.Do("sync")
	if found := w.incidents(); len(found) == 0 {
		t.Error("B07 one code under two logins is no incident")
	}
	w.want(w.laptop.Login("ana", code), used)
	w.want(desk.Login("ana", code), used)
}

func TestB08OneMachineHoldsTheCodesOfATokenAtATime(t *testing.T) {
	t.Parallel()
	w := newWorld(t, []string{"ben"})
	w.token("ben")
	desk := w.machine("desk", "ben")
	press := w.tokens["ben"].Press
	w.want(w.laptop.Login("ben", press()), online)
	w.laptop.Do("sync")
	w.want(desk.Login("ben", press()), online, "online use elsewhere goes on")
	desk.Do("sync")
	w.laptop.Cut(lab.PortsClosed)
	desk.Cut(lab.PortsClosed)
	code := press()
	w.want(w.laptop.Login("ben", code), offline, "B08 the laptop has the lease")
	for range 2 {
		if got := desk.Login("ben", code); got.Code == 0 {
			t.Errorf("B08 a second machine took the same press offline:\n%s", got.Transcript)
		}
	}
}

// copyOf keeps a machine's state as a disk image would, and returns what puts
// it back.
func copyOf(t *testing.T, m *lab.Machine) (restore func()) {
	t.Helper()
	m.Stop()
	backup := filepath.Join(t.TempDir(), "state")
	run := func(args ...string) {
		if out, err := exec.Command(args[0], args[1:]...).CombinedOutput(); err != nil {
			t.Fatalf("%v: %v\n%s", args, err, out)
		}
	}
	run("cp", "-a", m.State, backup)
	m.RunAgent()
	return func() {
		m.Stop()
		run("find", m.State, "-mindepth", "1", "-delete")
		run("cp", "-a", backup+"/.", m.State)
		m.RunAgent()
	}
}

func TestE01ARestoredDiskIsNoticedAtTheNextContact(t *testing.T) {
	t.Parallel()
	for name, after := range map[string]func(*world){
		"and is left alone": func(*world) {},
		// On software keys nobody can know yet.
		"and is used": func(w *world) { w.in(w.laptop, "ana") },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			goesBack(t, newAna(t), after)
		})
	}
}

func goesBack(t *testing.T, w *world, after func(*world)) {
	t.Helper()
	w.ready(w.laptop, "ana")
	w.laptop.Do("sync")
	w.laptop.Cut(lab.PortsClosed)
	restore := copyOf(t, w.laptop)
	w.want(w.in(w.laptop, "ana"), offline)
	w.want(w.in(w.laptop, "ana"), offline)
	w.laptop.Restore()
	w.laptop.Do("sync")
	w.laptop.Cut(lab.PortsClosed)
	restore()
	after(w)
	w.laptop.Restore()
	w.laptop.Try("sync")

	if found := w.incidents(); len(found) == 0 {
		t.Error("E08 the state went back, and nobody noticed")
	}
	var all []struct{ Name, State string }
	w.server.JSON(&all, "machine", "list")
	if len(all) != 1 || all[0].State != "quarantined" {
		t.Errorf("E08 machine list: %+v", all)
	}
}

// Two machines with one identity: each is right about what it did itself, and
// nobody can know which is the real one, so that neither is issued anything.
func TestE08AClonedMachineIsNoticedAndBothAreIssuedNothing(t *testing.T) {
	t.Parallel()
	w := newAna(t)
	w.ready(w.laptop, "ana")
	w.laptop.Stop()
	clone := w.Lab.Machine("clone", w.clock, "ana")
	if out, err := exec.Command("cp", "-aT", w.laptop.State, clone.State).CombinedOutput(); err != nil {
		t.Fatalf("cloning: %v\n%s", err, out)
	}
	w.laptop.RunAgent()
	clone.RunAgent()
	for _, m := range []*lab.Machine{w.laptop, clone, w.laptop} {
		w.want(w.in(m, "ana"), online, "what the server itself checks goes on")
		m.Try("sync")
	}
	if found := w.incidents(); len(found) == 0 {
		t.Error("E08 two machines were one, and nobody noticed")
	}
	var all []struct{ Name, State string }
	w.server.JSON(&all, "machine", "list")
	if len(all) != 1 || all[0].State != "quarantined" {
		t.Errorf("E08 machine list: %+v", all)
	}
	issued := len(w.audit("ana", "")) // of any kind
	for _, m := range []*lab.Machine{w.laptop, clone} {
		m.Try("sync")
	}
	if now := w.audit("ana", ""); len(now) != issued {
		t.Errorf("E08 a quarantined machine was issued something: %+v", now[:len(now)-issued])
	}
}

func TestE05ADeletedLedgerResetsNoLimit(t *testing.T) {
	t.Parallel()
	w := newAna(t)
	w.policy("ana", `"offline":{"logins":1}`)
	w.ready(w.laptop, "ana")
	w.laptop.Cut(lab.PortsClosed)
	code := w.code("ana")
	w.want(w.laptop.Login("ana", code), offline)
	w.want(w.in(w.laptop, "ana"), over)
	w.laptop.Stop()
	if err := os.Remove(filepath.Join(w.laptop.State, "ledger")); err != nil {
		t.Fatal(err)
	}
	// Whether the agent starts with that or not: nobody gets in.
	cmd := w.laptop.Command("sh", "-c", "rm -f /run/latchkey/*; exec "+w.Programs().ClockAgent+" run --user latchkey-agent --state "+w.laptop.State)
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { cmd.Process.Kill(); cmd.Wait() })
	until(t, "the agent to listen or to give up", func() bool {
		_, err := os.Stat(w.laptop.Path(loginSocket))
		return err == nil
	})
	for _, answer := range []string{code, w.code("ana")} {
		if got := w.laptop.Login("ana", answer); got.Code == 0 {
			t.Errorf("E05 deleting the ledger opened the door:\n%s", got.Transcript)
		}
	}
}

func TestWhatSpendsTheAllowanceIsThePolicysToSay(t *testing.T) {
	t.Parallel()
	w := newAna(t)
	w.app("ben")
	w.policy("ana", `"offline":{"logins":3,"count":"all"}`)
	w.policy("ben", `"offline":{"logins":2,"spend_on":["console","elevate"]}`)
	w.ready(w.laptop, "ana")
	w.ready(w.laptop, "ben")
	w.laptop.Cut(lab.PortsClosed)

	w.want(w.in(w.laptop, "ana"), offline)
	w.want(w.laptop.Login("ana", "000000"), wrong)
	got := w.in(w.laptop, "ana")
	w.want(got, offline)
	w.shows(got, "(1 offline login left")
	w.want(w.in(w.laptop, "ana"), over, "count=all: a wrong code counts too")

	w.want(w.in(w.laptop, "ben"), offline)
	w.want(w.laptop.LoginTo("elevate", "ben", w.code("ben")), offline)
	w.want(w.laptop.LoginTo("elevate", "ben", w.code("ben")), over, "spend_on names elevate")
	w.want(w.laptop.LoginTo("remote", "ben", w.code("ben")), offline, "spend_on does not name remote")
}
