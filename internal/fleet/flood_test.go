package fleet_test

import (
	"testing"
	"time"

	"latchkey"
	"latchkey/internal/api"
	"latchkey/internal/audit"
	"latchkey/internal/fleet"
	"latchkey/internal/otp"
)

// rows is how many lines the trail has, of one kind or of all.
func (w *world) rows(kind latchkey.EventKind) int {
	w.Helper()
	n := 0
	for before := ""; ; {
		page, err := w.db.Events(w.ctx, audit.Query{Limit: 1000, BeforeID: before, Kind: string(kind)})
		w.must(err)
		if n += len(page); len(page) < 1000 {
			return n
		}
		before = page[len(page)-1].ID
	}
}

// What a machine reports fills the trail no further than a full ring an hour,
// and by incidents less than that. Codes that it used are told in any case.
func TestN15AMachineCannotFloodTheTrailByItsReports(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	ana := w.user("ana", latchkey.TOTP)
	m := w.machine("pc-1")
	w.expect(m.login("ana", w.code(0)), "allow verified_online")
	m.sync()
	id := m.fetch(ana).Credentials[0].ID
	before := w.rows("")
	for range 2 {
		for range 4 * fleet.MaxReports {
			m.report(api.Report{User: "usr_nobody", Outcome: latchkey.Denied, Reason: latchkey.WrongCode})
		}
		for len(m.queue) > 1 { // the last one is what the next one follows
			m.sync()
			m.queue = m.queue[min(fleet.MaxReports, len(m.queue)-1):]
		}
	}
	if n, most := w.rows("")-before, fleet.MaxReported+fleet.MaxIncidents+10; n > most || n < fleet.MaxReported {
		t.Errorf("8,000 reports of nobody are %d lines, of at most %d", n, most)
	}
	if n := w.kinds(latchkey.EventsLeftOut); n < 2 {
		t.Errorf("told %d times", n)
	}
	before = w.rows(latchkey.LogonEvent)
	w.pass(time.Minute)
	m.offline(ana, id, otp.Step(w.now(), 30))
	m.offline(ana, id, otp.Step(w.now(), 30))
	m.sync()
	if n := w.rows(latchkey.LogonEvent) - before; n != 1 {
		t.Errorf("a code that was used, and once more: %d lines", n)
	}
}

// Root on a stolen machine cannot spend the incidents of the hour before it tells
// what it did with somebody's code.
func TestN15AnIncidentAboutAUserIsNotDrowned(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	ana := w.user("ana", latchkey.TOTP)
	m := w.machine("pc-1")
	w.expect(m.login("ana", w.code(0)), "allow verified_online")
	m.sync()
	id := m.fetch(ana).Credentials[0].ID
	for range 2 * fleet.MaxMachineIncidents {
		m.report(api.Report{User: "usr_nobody", Outcome: latchkey.Denied, Reason: latchkey.WrongCode})
	}
	m.offline(ana, id, otp.Step(w.now(), 30)) // the code that was used online
	m.sync()
	page, err := w.db.Events(w.ctx, audit.Query{Limit: 1000, Kind: string(latchkey.Incident), User: "ana"})
	w.must(err)
	if len(page) != 1 || page[0].Detail["incident"] != "one code was used for two logins" {
		t.Errorf("of ana: %+v", page)
	}
	if n := w.kinds(latchkey.Incident); n != fleet.MaxIncidents+1 {
		t.Errorf("%d incidents", n)
	}
}

// Each step of an app is used once, but there are thousands of them behind a
// machine that was away: they fill the trail no further than other events.
func TestN15CodesOfAnAppDoNotFloodTheTrail(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	ana := w.user("ana", latchkey.TOTP)
	m := w.machine("pc-1")
	w.expect(m.login("ana", w.code(0)), "allow verified_online")
	m.sync()
	id := m.fetch(ana).Credentials[0].ID
	first := otp.Step(w.now(), 30) + 1
	w.pass(6 * day)
	before := w.rows("")
	for n := range uint64(fleet.MaxReported + fleet.MaxReports) {
		m.offline(ana, id, first+n)
	}
	for len(m.queue) > 1 {
		m.sync()
		m.queue = m.queue[min(fleet.MaxReports, len(m.queue)-1):]
	}
	if n, most := w.rows("")-before, fleet.MaxReported+20; n > most || n < fleet.MaxReported {
		t.Errorf("%d lines, of at most %d", n, most)
	}
	if got := w.state(m); got != latchkey.Active {
		t.Errorf("it is %s: %q", got, w.incidents())
	}
}

// A machine that says at each contact that it lost events says it for a line
// each, up to its bound; one that was removed says nothing.
func TestN15LossesThatAMachineReportsAreBounded(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		end  func(w *world)
		most int
	}{
		"active":      {func(*world) {}, fleet.MaxIncidents + 5},
		"quarantined": {func(w *world) { w.quarantine("pc-1") }, fleet.MaxIncidents + 5},
		"removed":     {func(w *world) { w.must(w.fleet.Remove(w.ctx, "admin", "pc-1")) }, 0},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			m := w.machine("pc-1")
			tc.end(w)
			before := w.rows("")
			for i := range 2 * fleet.MaxIncidents {
				_, err := w.fleet.Sync(w.ctx, m.id, api.SyncRequest{
					Nonce: "n", Lost: uint64(i + 1), Generation: uint64(i), Users: []api.Known{{User: "usr_nobody", Version: 1}},
				})
				w.must(err)
			}
			if got := w.rows("") - before; got > tc.most {
				t.Errorf("%d lines, of at most %d", got, tc.most)
			}
		})
	}
}

// quarantine lets a machine report a ledger that went back.
func (w *world) quarantine(name string) {
	w.Helper()
	m, err := w.fleet.Machine(w.ctx, name)
	w.must(err)
	for _, generation := range []uint64{5, 4} {
		_, err = w.fleet.Sync(w.ctx, m.ID, api.SyncRequest{Nonce: "n", Generation: generation})
		w.must(err)
	}
}

// A loss that no line tells of is no reason to believe the machine's floors.
func TestN15ALossThatIsNotToldRaisesNoCounter(t *testing.T) {
	t.Parallel()
	w, ana, a, _, token := two(t)
	for i := range fleet.MaxIncidents {
		_, err := w.fleet.Sync(w.ctx, a.id, api.SyncRequest{Nonce: "n", Lost: uint64(i + 1)})
		w.must(err)
	}
	_, err := w.fleet.Sync(w.ctx, a.id, api.SyncRequest{
		Nonce: "n", Lost: 1000, Users: []api.Known{{User: ana, Floors: []latchkey.Floor{{Credential: token, Next: 20}}}},
	})
	w.must(err)
	if got := w.next(token); got != 1 {
		t.Errorf("the counter is at %d", got)
	}
}

func TestNumbersThatNoMachineReachesAreALie(t *testing.T) {
	t.Parallel()
	for name, in := range map[string]api.SyncRequest{
		"losses":     {Lost: 1<<64 - 1},
		"writes":     {Generation: 1<<64 - 1},
		"events":     {Events: []api.Report{{Seq: 1<<64 - 1, Outcome: latchkey.Denied, Reason: latchkey.WrongCode}}},
		"many years": {Lost: 1<<40 + 1},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			m := w.machine("pc-1")
			in.Nonce = "n"
			out, err := w.fleet.Sync(w.ctx, m.id, in)
			w.must(err)
			if out.State != "quarantined" || out.Acked != 0 {
				t.Errorf("it is %s, acked %d", out.State, out.Acked)
			}
			// Nothing of it is kept: what is lost next is told.
			w.must(w.fleet.Approve(w.ctx, "admin", "pc-1"))
			out, err = w.fleet.Sync(w.ctx, m.id, api.SyncRequest{Nonce: "n", Lost: 7, Generation: 1})
			w.must(err)
			if out.State != "active" || w.kinds(latchkey.ReportsLost) != 1 {
				t.Errorf("it is %s, %d losses told", out.State, w.kinds(latchkey.ReportsLost))
			}
		})
	}
}

// A ledger that takes the place of a lost one counts anew.
func TestLossesOfANewLedgerAreTold(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	m := w.machine("pc-1")
	for _, lost := range []uint64{500, 500, 0, 3, 3} {
		_, err := w.fleet.Sync(w.ctx, m.id, api.SyncRequest{Nonce: "n", Lost: lost})
		w.must(err)
	}
	if got := w.kinds(latchkey.ReportsLost); got != 2 {
		t.Errorf("%d losses told", got)
	}
}
