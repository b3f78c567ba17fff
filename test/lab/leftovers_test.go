//go:build linux

package lab

import (
	"fmt"
	"os"
	"os/exec"
	"testing"
)

func TestWhatAKilledRunLeftIsRemoved(t *testing.T) {
	gone := exec.Command("true")
	if err := gone.Run(); err != nil {
		t.Fatal(err)
	}
	name := fmt.Sprintf("%s%d-1", prefix, gone.ProcessState.Pid())
	mine := fmt.Sprintf("%s%d-x", prefix, os.Getpid())
	for _, n := range []string{name, mine} {
		if err := os.Mkdir("/tmp/"+n, 0o700); err != nil {
			t.Fatal(err)
		}
	}
	t.Cleanup(func() { os.Remove("/tmp/" + mine) })
	if out, err := exec.Command("ip", "netns", "add", name).CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	t.Cleanup(func() { endNamespace(name) })
	orphan := exec.Command("ip", "netns", "exec", name, "sleep", "infinity")
	orphan.SysProcAttr = dieWithUs()
	if err := orphan.Start(); err != nil {
		t.Fatal(err)
	}

	for !inNamespace(name, orphan.Process.Pid) {
	}
	removeLeftovers()

	if err := orphan.Wait(); err == nil || orphan.ProcessState.ExitCode() != -1 {
		t.Errorf("the orphan ended with %v, want killed", orphan.ProcessState)
	}
	if exists("/run/netns/" + name) {
		t.Error("the namespace is still there")
	}
	if exists("/tmp/" + name) {
		t.Error("the folder is still there")
	}
	if !exists("/tmp/" + mine) {
		t.Error("the folder of a running process was removed")
	}
}

func inNamespace(name string, pid int) bool {
	theirs, _ := os.Stat("/run/netns/" + name)
	now, err := os.Stat(fmt.Sprintf("/proc/%d/ns/net", pid))
	return err == nil && os.SameFile(theirs, now)
}
