//go:build linux

package e2e_test

import (
	"strings"
	"testing"
	"time"

	"latchkey/test/lab"
)

func TestTheWholeStoryOfOneLaptop(t *testing.T) {
	t.Parallel()
	w := newWorld(t)

	// Online: the server checks.
	verdict(t, w.laptop.Login("ana", w.code()), "allow verified_online")
	w.laptop.Do("sync")

	// In the air: the machine checks, with what the server gave it.
	w.laptop.Cut(lab.Unplugged)
	code := w.code()
	verdict(t, w.laptop.Login("ana", code), "allow verified_offline")
	verdict(t, w.laptop.Login("ana", code), "deny code_already_used")
	verdict(t, w.laptop.Login("ana", w.code()), "allow verified_offline")
	if n := len(w.events("ana", "verified_offline")); n != 0 {
		t.Errorf("the server knows of %d offline logins before anybody could tell it", n)
	}

	// Back: it reports.
	w.laptop.Restore()
	w.laptop.Do("sync")
	offline := w.events("ana", "verified_offline")
	if len(offline) != 2 {
		t.Fatalf("the audit trail has %d offline logins, want 2", len(offline))
	}
	for _, e := range offline {
		if !e.Offline || e.Machine != "laptop" || e.Outcome != "allow" {
			t.Errorf("offline login recorded as %+v", e)
		}
	}
	if n := len(w.events("ana", "code_already_used")); n != 1 {
		t.Errorf("the audit trail has %d replays, want 1", n)
	}

	var enrolled []struct {
		User, Machine string
		EnrolledAt    time.Time `json:"enrolled_at"`
		LastSyncedAt  time.Time `json:"last_synced_at"`
		LoginsLeft    *int      `json:"logins_left"`
		ValidUntil    time.Time `json:"valid_until"`
	}
	w.server.JSON(&enrolled, "enrollment", "list")
	if len(enrolled) != 1 || enrolled[0].User != "ana" || enrolled[0].Machine != "laptop" {
		t.Fatalf("L14 enrollment list: %+v", enrolled)
	}
	row := enrolled[0]
	// Two of the 150 logins of the policy that comes with the server, since the
	// online login.
	if row.LoginsLeft == nil || *row.LoginsLeft != 148 {
		t.Errorf("L14 logins left: %v, want 148", row.LoginsLeft)
	}
	if left := row.ValidUntil.Sub(w.clock.Now()); left < 6*24*time.Hour || left > 7*24*time.Hour {
		t.Errorf("L14 valid for %v more, want a little less than 7 days", left)
	}
	if since := w.clock.Now().Sub(row.LastSyncedAt); since < -time.Minute || since > time.Minute {
		t.Errorf("L14 last synced %v ago, want now", since)
	}
	if row.EnrolledAt.IsZero() || row.EnrolledAt.After(w.clock.Now().Add(time.Minute)) {
		t.Errorf("L14 enrolled at %v", row.EnrolledAt)
	}

	verdict(t, w.laptop.Login("ana", w.code()), "allow verified_online")
}

func TestAPersonIsToldWhatIsLeft(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.server.Policy(`{"name":"default","offline":{"enabled":true,"days":7,"logins":3}}`)
	w.readyForOffline(t)
	w.laptop.Cut(lab.Unplugged)

	for _, left := range []string{"3 offline logins left", "2 offline logins left", "1 offline login left"} {
		login := w.laptop.Login("ana", w.code())
		verdict(t, login, "allow verified_offline")
		if !strings.Contains(login.Transcript, left) {
			t.Errorf("C01 the prompt does not say %q:\n%s", left, login.Transcript)
		}
	}
	verdict(t, w.laptop.Login("ana", w.code()), "deny offline_limit_reached") // C01

	w.laptop.Restore()
	verdict(t, w.laptop.Login("ana", w.code()), "allow verified_online")
	w.laptop.Do("sync")
	w.laptop.Cut(lab.Unplugged)
	verdict(t, w.laptop.Login("ana", w.code()), "allow verified_offline") // C03
}

func TestTheLastDayIsTheLastDay(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.server.Policy(`{"name":"default","offline":{"enabled":true,"days":2,"logins":null}}`)
	w.readyForOffline(t)

	// A background sync in between renews nothing: only an online login does.
	w.clock.Pass(24 * time.Hour)
	w.laptop.Do("sync")
	w.laptop.Cut(lab.BlackHole)
	verdict(t, w.laptop.Login("ana", w.code()), "allow verified_offline")
	w.clock.Pass(24 * time.Hour)
	verdict(t, w.laptop.Login("ana", w.code()), "deny offline_limit_reached") // C02
	w.clock.Set(-36 * time.Hour)
	if login := w.laptop.Login("ana", w.code()); login.Code == 0 {
		t.Errorf("C02 turning the clock back brought the day back:\n%s", login.Transcript)
	}
}

func TestWhatWasUsedStaysUsedWhateverHappensToTheAgent(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.readyForOffline(t)
	w.laptop.Cut(lab.Unplugged)
	code := w.code()
	verdict(t, w.laptop.Login("ana", code), "allow verified_offline")

	w.laptop.Stop()
	w.laptop.RunAgent()
	verdict(t, w.laptop.Login("ana", code), "deny code_already_used") // B03
	w.laptop.Kill()
	w.laptop.RunAgent()
	verdict(t, w.laptop.Login("ana", code), "deny code_already_used") // B03 after kill -9
}

func TestACodeUsedOnlineIsNotTakenOffline(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.readyForOffline(t)
	code := w.code()
	verdict(t, w.laptop.Login("ana", code), "allow verified_online")
	w.laptop.Cut(lab.Rejected)
	verdict(t, w.laptop.Login("ana", code), "deny code_already_used")
}

func TestTheServersWordHoldsOffline(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.readyForOffline(t)

	w.server.Do("user", "disable", "ana", "--yes")
	w.laptop.Do("sync")
	w.laptop.Cut(lab.Unplugged)
	verdict(t, w.laptop.Login("ana", w.code()), "deny account_disabled") // L06

	w.laptop.Restore()
	w.server.Do("user", "enable", "ana")
	verdict(t, w.laptop.Login("ana", w.code()), "allow verified_online")
	w.laptop.Do("sync")
	w.server.Do("enrollment", "disenroll", "ana", "laptop", "--yes")
	w.laptop.Do("sync")
	w.laptop.Cut(lab.Unplugged)
	verdict(t, w.laptop.Login("ana", w.code()), "deny not_enrolled_here") // L04
}

func TestAServerThatCannotBeReachedCostsSeconds(t *testing.T) {
	t.Parallel()
	for _, cut := range lab.Cuts {
		t.Run(string(cut), func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			w.readyForOffline(t)
			w.laptop.Cut(cut)
			login := func() time.Duration {
				start := time.Now()
				verdict(t, w.laptop.Login("ana", w.code()), "allow verified_offline")
				return time.Since(start)
			}
			// Both limits leave room for a busy machine. The first is far below the
			// time of a second question to the server, the other one, for the
			// quickest of three, below that of a single attempt to connect.
			if took := login(); took > 9*time.Second {
				t.Errorf("I01 the first login took %v", took)
			}
			if took := min(login(), login(), login()); took > 2*time.Second {
				t.Errorf("I01 a login while the server is known to be down took %v", took)
			}
		})
	}
}

func TestReleasedProgramsKnowNoOtherClock(t *testing.T) {
	t.Parallel()
	l := lab.New(t)
	for name, path := range map[string]string{"the server": l.Programs().Server, "the agent": l.Programs().Agent, "the module": l.Programs().Module} {
		if contains(t, path, "LATCHKEY_TEST_CLOCK") {
			t.Errorf("D12 %s knows of the test clock", name)
		}
	}
	if !contains(t, l.Programs().ClockAgent, "LATCHKEY_TEST_CLOCK") {
		t.Error("D12 this test would not notice: the testclock agent does not know of it either")
	}
}
