//go:build linux

package faults_test

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"latchkey/test/lab"
)

const loginSocket = "/run/latchkey/login.sock"

// atOnce signs a user in many times at the same moment with one answer and
// counts the verdicts.
func atOnce(w *world, times int, user, answer string) map[string]int {
	w.t.Helper()
	var mu sync.Mutex
	var all sync.WaitGroup
	verdicts := map[string]int{}
	for range times {
		cmd := w.laptop.Command(w.Programs().Agent, "login", user, "--uid", fmt.Sprint(w.laptop.UID(user)), "--script")
		cmd.Stdin = strings.NewReader(answer + "\n")
		all.Go(func() {
			out, _ := cmd.Output() // the exit code follows the verdict
			l := lab.Login{Transcript: string(out)}
			mu.Lock()
			defer mu.Unlock()
			verdicts[l.Verdict()]++
		})
	}
	all.Wait()
	return verdicts
}

func TestFiftyLoginsAtOnceWithOneCodeAreOneLogin(t *testing.T) {
	t.Parallel()
	w := newAna(t)
	w.ready(w.laptop, "ana")
	for _, want := range []string{online, offline} {
		if want == offline {
			w.laptop.Do("sync")
			w.laptop.Cut(lab.PortsClosed)
		}
		v := atOnce(w, 50, "ana", w.code("ana"))
		if v[want] != 1 || v[want]+v[used] != 50 {
			t.Errorf("K07 fifty logins with one code: %v, want %s once", v, want)
		}
	}
}

func TestAttack17ManyGuessesAtOnceAreCountedOneByOne(t *testing.T) {
	t.Parallel()
	for _, cut := range []bool{false, true} {
		t.Run(fmt.Sprintf("cut %v", cut), func(t *testing.T) {
			t.Parallel()
			w := newAna(t)
			w.ready(w.laptop, "ana")
			if cut {
				w.laptop.Cut(lab.PortsClosed)
			}
			// Five are answered, then there is a delay; the clock stands nearly still.
			if v := atOnce(w, 40, "ana", "000000"); v[wrong] != 5 || v[wrong]+v["deny throttled"] != 40 {
				t.Errorf("C05 forty guesses at once: %v, want 5 answered", v)
			}
		})
	}
}

func TestKillingTheAgentGivesNoReplayAndNoFreeGuess(t *testing.T) {
	t.Parallel()
	w := newAna(t)
	w.app("ben")
	for _, user := range []string{"ana", "ben"} {
		w.policy(user, `"offline":{"days":14,"logins":null}`)
		w.ready(w.laptop, user)
	}
	w.laptop.Cut(lab.PortsClosed)
	w.in(w.laptop, "ana") // from here on the server is known to be gone

	const rounds = 30
	cut, wrongs, locked := 0, 0, false
	for range rounds {
		w.clock.Pass(2 * time.Hour) // no throttle stands in the way
		code := w.code("ana")
		right, guess := w.dialogue(w.laptop, "ana"), (*dialogue)(nil)
		right.expect("< ASK secret")
		if !locked {
			guess = w.dialogue(w.laptop, "ben")
			if locked = strings.HasPrefix(guess.expect("< "), "< VERDICT locked"); !locked {
				guess.say("000000")
			}
		}
		right.say(code)
		time.Sleep(time.Duration(rand.IntN(12)) * time.Millisecond)
		w.laptop.Kill()
		first := right.rest()
		if guess != nil {
			switch said := guess.rest(); {
			case strings.Contains(said, "VERDICT "+wrong):
				wrongs++
			case strings.Contains(said, "VERDICT allow"):
				t.Fatalf("000000 let ben in:\n%s", said)
			}
		}
		w.laptop.RunAgent()
		let := strings.Contains(first, "VERDICT allow")
		if !let {
			cut++
		}
		second := w.laptop.Login("ana", code)
		switch second.Verdict() {
		case offline:
			if let {
				t.Fatalf("F03 a code let in twice around a kill:\n%s%s", first, second.Transcript)
			}
		case used:
		default:
			t.Fatalf("F03 after a kill a right code gets %q:\n%s%s", second.Verdict(), second.Transcript, second.Stderr)
		}
	}
	if cut == 0 || cut == rounds {
		t.Logf("the kill came too %s in every round: %d of %d logins were cut off", map[bool]string{true: "late", false: "early"}[cut == 0], cut, rounds)
	}
	// Every wrong code that somebody was told about counts.
	for range 12 {
		w.clock.Pass(2 * time.Hour)
		switch got := w.laptop.Login("ben", "000000"); {
		case got.Verdict() == wrong:
			wrongs++
		case strings.HasPrefix(got.Verdict(), "locked"):
			locked = true
		}
	}
	if !locked || wrongs > 10 {
		t.Errorf("C07 locked: %v; %d guesses were answered, want at most 10", locked, wrongs)
	}
}

// rest is what a login still says until it ends.
func (d *dialogue) rest() string {
	var all bytes.Buffer
	all.ReadFrom(d.out)
	d.cmd.Wait()
	return all.String()
}

// onDisk gives a machine that has no agent yet a small disk of its own for its
// state, and returns the disk's device.
func onDisk(t *testing.T, w *world, m *lab.Machine) (device string) {
	t.Helper()
	image := w.File("disk", "")
	m.Must("sh", "-c", "truncate -s 12M "+image+" && mkfs.ext4 -q -F "+image+" && mount -o loop,errors=remount-ro "+image+" "+m.State+
		" && rmdir "+m.State+"/lost+found && chown --reference=/ "+m.State+" && chmod 700 "+m.State)
	m.Must("chown", "latchkey-agent:latchkey-agent", m.State)
	return filepath.Base(strings.TrimSpace(m.Must("findmnt", "-no", "SOURCE", m.State)))
}

func TestF04AFullDiskLocksNobodyOut(t *testing.T) {
	t.Parallel()
	w := newAna(t)
	m := w.Lab.Machine("small", w.clock, "ana")
	onDisk(t, w, m)
	m.Enroll(w.server.MachineToken())
	m.RunAgent()
	w.ready(m, "ana")
	m.Run("", "sh", "-c", "cat /dev/zero >"+m.State+"/filler; for i in $(seq 200); do printf x >>"+m.State+"/last$i || break; done")
	if r := m.Run("", "sh", "-c", "head -c 65536 /dev/zero >"+m.State+"/more"); r.Code == 0 {
		t.Fatal("F04 the disk is not full: this test proves nothing")
	}

	w.want(w.in(m, "ana"), online, "F04 online")
	m.Cut(lab.PortsClosed)
	code := w.code("ana")
	w.want(m.Login("ana", code), offline, "F04")
	w.want(m.Login("ana", "000000"), wrong, "F04")
	w.want(m.Login("ana", code), used, "F04")
	m.Kill()
	m.RunAgent()
	w.want(m.Login("ana", code), used, "F04 after a restart")
	w.want(w.in(m, "ana"), offline, "F04 after a restart")
	m.Restore()
	if r := m.Try("sync"); r.Code == 0 || !strings.Contains(r.Stderr, "no space left") {
		t.Errorf("F04 a sync that could keep nothing says: %v", r)
	}
	if n := len(w.audit("ana", "verified_offline")); n != 2 {
		t.Errorf("F04 the server heard of %d offline logins, want 2", n)
	}
}

func TestF05ADiskThatCannotBeWrittenLetsNobodyIn(t *testing.T) {
	t.Parallel()
	w := newAna(t)
	m := w.Lab.Machine("worn", w.clock, "ana")
	device := onDisk(t, w, m)
	m.Enroll(w.server.MachineToken())
	m.RunAgent()
	w.ready(m, "ana")
	// What the kernel does on the first error of the disk.
	if err := os.WriteFile(filepath.Join("/sys/fs/ext4", device, "trigger_fs_error"), []byte("1"), 0); err != nil {
		t.Fatal(err)
	}
	if r := m.Run("", "touch", m.State+"/x"); r.Code == 0 {
		t.Fatal("F05 the disk can be written: this test proves nothing")
	}
	if got := w.in(m, "ana"); got.Code == 0 {
		t.Errorf("F05 let in online by what could not be written down:\n%s", got.Transcript)
	}
	m.Cut(lab.PortsClosed)
	for range 2 {
		if got := w.in(m, "ana"); got.Code == 0 || got.Verdict() == wrong {
			t.Errorf("F05 %s, and nothing could be written down:\n%s", got.Verdict(), got.Transcript)
		}
	}
	for range 20 {
		if got := m.Login("ana", "000000"); got.Verdict() == wrong {
			t.Fatalf("F05 a guess was answered that could not be counted:\n%s", got.Transcript)
		}
	}
}

// door makes a PAM service that asks for nothing but the code.
func door(w *world) {
	w.laptop.PAM("door", "auth required "+w.Programs().Module+"\naccount required pam_permit.so\n")
}

// knock tries the door as root or another user, without a terminal.
func knock(w *world, as, user, stdin string, wrapper ...string) lab.Result {
	w.t.Helper()
	args := append([]string{"timeout", "20"}, wrapper...)
	if as != "" {
		id := fmt.Sprint(w.laptop.UID(as))
		args = append(args, "setpriv", "--reuid", id, "--regid", id, "--clear-groups", "--")
	}
	return w.laptop.Run(stdin, append(args, "setsid", "-w", "pamtester", "door", user, "authenticate")...)
}

const timedOut = 124 // of timeout(1)

func TestF07WithoutALivingAgentTheDoorStaysShut(t *testing.T) {
	t.Parallel()
	w := newAna(t)
	door(w)
	w.ready(w.laptop, "ana")
	w.laptop.Cut(lab.PortsClosed)
	closed := func(state string) {
		t.Helper()
		start := time.Now()
		r := knock(w, "", "ana", w.code("ana")+"\n")
		if r.Code == 0 || r.Code == timedOut || time.Since(start) > 15*time.Second {
			t.Errorf("F07 the agent is %s: %v after %v", state, r, time.Since(start))
		}
	}
	opens := func(state string) {
		t.Helper()
		if r := knock(w, "", "ana", w.code("ana")+"\n"); r.Code != 0 {
			t.Errorf("F07 the agent is %s: %v", state, r)
		}
	}
	opens("well")
	w.laptop.Pause()
	closed("paused")
	w.laptop.Resume()
	opens("well again")
	w.laptop.Kill()
	closed("killed") // its socket is still there
	w.laptop.Must("rm", "-f", loginSocket)
	closed("gone")
	w.laptop.RunAgent()
	opens("back")
	// M02, M07: nobody is there to answer.
	if r := knock(w, "", "ana", ""); r.Code == 0 || r.Code == timedOut {
		t.Errorf("M07 without a terminal and an answer: %v", r)
	}
}

func TestM11GarbageOnTheSocketDisturbsNobody(t *testing.T) {
	t.Parallel()
	w := newAna(t)
	w.ready(w.laptop, "ana")
	w.laptop.Cut(lab.PortsClosed)
	path := w.laptop.Path(loginSocket)
	for i := range 60 {
		c, err := net.Dial("unix", path)
		if err != nil {
			continue // its places are taken: that is one way to keep calm
		}
		t.Cleanup(func() { c.Close() })
		switch i % 4 {
		case 0: // silence
		case 1: // a gigabyte is announced
			c.Write(append(binary.BigEndian.AppendUint32(nil, 1<<30), 1))
		case 2:
			junk := make([]byte, 4096)
			for j := range junk {
				junk[j] = byte(rand.IntN(256))
			}
			c.Write(junk)
		case 3: // half a frame
			c.Write([]byte{0, 0, 0, 40, 1, 2})
		}
	}
	w.want(w.in(w.laptop, "ana"), offline, "M11")
	w.want(w.laptop.Login("ana", "000000"), wrong, "M11")
	if r := knock2(w); r != "" {
		t.Error(r)
	}
}

// knock2 says what is wrong with the agent's log, which garbage must not break.
func knock2(w *world) string {
	for line := range strings.Lines(w.laptop.Log()) {
		if !json.Valid([]byte(line)) {
			return fmt.Sprintf("a line of the agent's log is no JSON: %q", line)
		}
	}
	return ""
}

func TestC10M10AnotherUserOfTheMachineCannotSpeakForTheFirst(t *testing.T) {
	t.Parallel()
	w := newAna(t)
	door(w)
	w.app("ben")
	w.ready(w.laptop, "ana")
	w.laptop.Cut(lab.PortsClosed)
	for range 12 {
		if r := knock(w, "ben", "ana", "000000\n"); r.Code == 0 {
			t.Fatalf("M10 ben is let in as ana: %v", r)
		}
	}
	code := w.code("ana")
	if r := knock(w, "ben", "ana", code+"\n"); r.Code == 0 {
		t.Errorf("M10 ben is let in as ana, with her code: %v", r)
	}
	w.want(w.laptop.Login("ana", code), offline, "C10 ana is not locked, and her code not used")
	// The mode of a socket is easily changed, and the kernel's word is not.
	w.laptop.Must("chmod", "-R", "a+rwX", filepath.Dir(loginSocket))
	for name, r := range map[string]lab.Result{
		"status": w.laptop.Run("", setpriv(w, "ben", w.Programs().Agent, "status")...),
		"sync":   w.laptop.Run("", setpriv(w, "ben", w.Programs().Agent, "sync")...),
		"login":  w.laptop.Run(code+"\n", setpriv(w, "ben", w.Programs().Agent, "login", "ana", "--script")...),
		"state":  w.laptop.Run("", setpriv(w, "ben", "ls", w.laptop.State)...),
	} {
		if r.Code == 0 {
			t.Errorf("M10 ben may ask the agent for %s: %v", name, r)
		}
	}
}

func setpriv(w *world, user string, args ...string) []string {
	id := fmt.Sprint(w.laptop.UID(user))
	return append([]string{"setpriv", "--reuid", id, "--regid", id, "--clear-groups", "--"}, args...)
}

func TestM03HostileNamesAreNobody(t *testing.T) {
	t.Parallel()
	w := newAna(t)
	door(w)
	w.ready(w.laptop, "ana")
	list := func() (paths []string) {
		files(t, w.laptop.State, func(path string, _ fs.FileInfo, _ []byte) { paths = append(paths, path) })
		return paths
	}
	before := list()
	names := []string{
		"", strings.Repeat("a", 300), strings.Repeat("ana", 90), "root\n", "ana\n", "../x", "../../etc/passwd", "%n%n%s", "ana\xff\xfe", "\x1b[31mana", "ana ",
		"аna", `ana","role":"admin`, "ana\u2028ben", "$(id)", "*", "ana@corp.example", `CORP\ana`,
	}
	for _, cut := range []bool{false, true} {
		if cut {
			w.laptop.Cut(lab.PortsClosed)
		}
		for _, name := range names {
			if r := knock(w, "", name, w.apps["ana"].Code(w.clock.Now())+"\n"); r.Code == 0 || r.Code == timedOut {
				t.Errorf("M03 %q (cut %v): %v", name, cut, r)
			}
		}
	}
	if after := list(); len(after) != len(before) {
		t.Errorf("M03 there are new files: %v, then %v", before, after)
	}
	for where, log := range map[string]string{"agent": w.laptop.Log(), "server": w.server.Log()} {
		for _, c := range []string{"\x1b", "\x00", "\xff", "\u2028"} {
			if strings.Contains(log, c) {
				t.Errorf("M03 P09 the %s's log holds %q", where, c)
			}
		}
	}
	if wrong := knock2(w); wrong != "" {
		t.Error("M03 P09 " + wrong)
	}
	w.want(w.in(w.laptop, "ana"), offline, "M03 and ana is who she was")
}
