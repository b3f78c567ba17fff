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
