//go:build linux

package lab_test

import (
	"strings"
	"testing"

	"latchkey/test/lab"
)

func TestASystemBootsKeepsItsDiskAndBootsAgain(t *testing.T) {
	t.Parallel()
	l := lab.New(t)
	s := l.System("desk", map[string]string{"/mnt/go.mod": "../../go.mod"})

	if got := strings.TrimSpace(s.Must("cat", "/proc/1/comm")); got != "systemd" {
		t.Errorf("PID 1 is %q, want systemd", got)
	}
	if got := s.Must("head", "-n1", "/mnt/go.mod"); got != "module latchkey\n" {
		t.Errorf("/mnt/go.mod begins with %q", got)
	}
	s.Login("ana").Expect(`ana@desk:.*\$ `)
	if got := s.Must("loginctl", "list-sessions", "--no-legend"); !strings.Contains(got, "ana") {
		t.Errorf("no session of ana: %q", got)
	}
	l.Listen(8444)
	connect := []string{"timeout", "2", "bash", "-c", "exec 3<>/dev/tcp/" + lab.ServerName + "/8444"}
	s.Must(connect...)
	s.Cut(lab.Unplugged)
	if r := s.Run("", connect...); r.Code == 0 {
		t.Error("connected with the cable out")
	}

	before := s.Must("cat", "/proc/sys/kernel/random/boot_id")
	s.Must("sh", "-c", "echo kept >/root/note; sync")
	s.PowerOff()
	s.Boot()
	if got := s.Must("cat", "/root/note"); got != "kept\n" {
		t.Errorf("after a restart the note says %q", got)
	}
	if after := s.Must("cat", "/proc/sys/kernel/random/boot_id"); after == before {
		t.Error("the boot id is the same after a restart")
	}
	s.PowerCut()
	s.Boot()
	s.Must("true")
}
