package store

import (
	"errors"
	"testing"
	"time"

	"latchkey"
	"latchkey/internal/audit"
	"latchkey/internal/report"
	"latchkey/internal/settings"
)

const day = 24 * time.Hour

// peopled is a database with the users ana and ben and the machine laptop, on
// which ana is enrolled since ten days and logged in online three days ago.
func peopled(t *testing.T) (*DB, latchkey.User) {
	t.Helper()
	db := open(t)
	var ana latchkey.User
	for _, name := range []string{"ben", "ana"} {
		u, err := db.AddUser(t.Context(), latchkey.User{Name: name, Directory: latchkey.Builtin, Groups: []string{"staff"}}, latchkey.Event{Kind: latchkey.UserAdded})
		must(t, err)
		ana = u
	}
	must(t, db.InTx(t.Context(), func(x *Tx) error {
		const machine = `INSERT INTO machines (id, name, fold, state, mode, unknown_users, match_local, trust_on_enforced,
			os, agent_version, key_class, identity_hash, sealing_key, created_at)
			VALUES ('mch_1', 'Laptop', 'laptop', 'active', 'default', 'deny', TRUE, FALSE, 'linux', '1', 'S', $1, $2, 0)`
		if err := x.exec(machine, []byte{1}, []byte{2}); err != nil {
			return err
		}
		const enrollment = `INSERT INTO enrollments (user_id, machine_id, seen_at, enrolled_at, anchor, uses, synced_at, header_version, acked)
			VALUES ($1, 'mch_1', $2, $2, $3, 5, $4, 9, 9)`
		if err := x.exec(enrollment, string(ana.ID), noon.Add(-10*day).UnixMilli(), noon.Add(-3*day).UnixMilli(), noon.Add(-time.Hour).UnixMilli()); err != nil {
			return err
		}
		return x.exec(`INSERT INTO authenticators (id, user_id, kind, label, algorithm, digits, period, wrapped, created_at)
			VALUES ('aut_1', $1, 'totp', '', 'SHA1', 6, 30, $2, 0)`, string(ana.ID), []byte{0})
	}))
	return db, ana
}

func TestTheReportSaysWhatIsLeftWhereUntilWhen(t *testing.T) {
	t.Parallel()
	db, ana := peopled(t)
	r := report.New(db, func() time.Time { return noon })
	rows, _, err := r.OfflineEnrollments(t.Context(), "", "", latchkey.Page{})
	must(t, err)
	if len(rows) != 1 {
		t.Fatalf("%d rows, want 1: ben never logged in", len(rows))
	}
	row := rows[0]
	if row.User != "ana" || row.Machine != "Laptop" || !row.EnrolledAt.Equal(noon.Add(-10*day)) || !row.LastSynced.Equal(noon.Add(-time.Hour)) {
		t.Errorf("row = %+v", row)
	}
	if len(row.Authenticators) != 1 || !row.Ready {
		t.Errorf("what a server before this one issued is reported as %v, because %q", row.Authenticators, row.NotReady)
	}
	if row.LoginsLeft == nil || *row.LoginsLeft != 145 || !row.ValidUntil.Equal(noon.Add(4*day)) || row.Pending != "" {
		t.Errorf("left = %+v, want 145 logins until three days ago and seven more", row)
	}
	for _, none := range [][2]string{{"ben", ""}, {"", "desktop"}, {"nobody", ""}, {"ana", "desktop"}} {
		if rows, _, err := r.OfflineEnrollments(t.Context(), none[0], none[1], latchkey.Page{}); err != nil || rows == nil || len(rows) != 0 {
			t.Errorf("rows of %v = %v, %v, want an empty list", none, rows, err)
		}
	}
	if rows, _, err := r.OfflineEnrollments(t.Context(), "ANA", "LAPTOP", latchkey.Page{}); err != nil || len(rows) != 1 {
		t.Errorf("names in capitals find %v, %v", rows, err)
	}

	must(t, db.Disenroll(t.Context(), ana.ID, "mch_1", latchkey.Event{Kind: latchkey.EnrollmentRemoved}))
	rows, _, err = r.OfflineEnrollments(t.Context(), "", "", latchkey.Page{})
	must(t, err)
	if len(rows) != 1 || rows[0].Pending != report.PendingRemoval || rows[0].Ready || *rows[0].LoginsLeft != 145 || !rows[0].ValidUntil.Equal(noon.Add(4*day)) {
		t.Errorf("until the machine has wiped it, the report says %+v", rows)
	}
}

func TestExplainKnowsWhereAUserStands(t *testing.T) {
	t.Parallel()
	db, ana := peopled(t)
	at := noon
	s := settings.New(db, func() time.Time { return at })
	explain := func() (string, string) {
		t.Helper()
		x, err := s.Explain(t.Context(), "ana", "laptop", latchkey.Console)
		must(t, err)
		if x.Policy != latchkey.DefaultPolicy || len(x.Rows) == 0 {
			t.Errorf("explained %+v", x)
		}
		text := func(outcome string, reason latchkey.Reason) string { return outcome + " " + string(reason) }
		return text(x.Online.Outcome, x.Online.Reason), text(x.Offline.Outcome, x.Offline.Reason)
	}
	expect := func(when, online, offline string) {
		t.Helper()
		if on, off := explain(); on != online || off != offline {
			t.Errorf("%s: online %q, offline %q, want %q, %q", when, on, off, online, offline)
		}
	}
	set := func(update string) {
		t.Helper()
		must(t, db.InTx(t.Context(), func(x *Tx) error { return x.exec(update) }))
	}
	expect("within the days", "ask ", "ask ")
	at = noon.Add(4 * day)
	expect("when the last day is over", "ask ", "deny offline_limit_reached")
	at = noon
	set("UPDATE enrollments SET uses = 150")
	expect("when the logins are used up", "ask ", "deny offline_limit_reached")
	set("UPDATE enrollments SET uses = 0, removed_at = 1")
	expect("when disenrolled", "ask ", "deny not_enrolled_here")
	set("UPDATE authenticators SET fails = 10, retry_at = 9000000000000")
	expect("after ten wrong codes", "locked locked", "locked locked")
	set("UPDATE authenticators SET retry_at = 1")
	expect("when that lock has ended", "ask ", "deny not_enrolled_here")
	set("UPDATE authenticators SET retry_at = 9000000000000")
	must(t, db.UnlockUser(t.Context(), ana.ID, latchkey.Event{Kind: latchkey.UserUnlocked}))
	expect("when unlocked", "ask ", "deny not_enrolled_here")
	set("UPDATE machines SET mode = 'exempt', exempt_until = 9000000000000")
	expect("on an exempt machine", "not-required machine_exempt", "not-required machine_exempt")
	must(t, db.SetDisabled(t.Context(), ana.ID, true, latchkey.Event{Kind: latchkey.UserDisabled}))
	expect("when disabled", "deny account_disabled", "deny account_disabled")
}

func TestEveryChangeLeavesItsLine(t *testing.T) {
	t.Parallel()
	db, ana := peopled(t)
	ctx := t.Context()
	event := func(k latchkey.EventKind) latchkey.Event {
		return latchkey.Event{Kind: k, Actor: "root", User: ana.ID, UserName: ana.Name}
	}
	must(t, db.SetDisabled(ctx, ana.ID, true, event(latchkey.UserDisabled)))
	must(t, db.SetDisabled(ctx, ana.ID, false, event(latchkey.UserEnabled)))
	must(t, db.SetGroups(ctx, ana.ID, nil, event(latchkey.UserChanged)))
	must(t, db.UnlockUser(ctx, ana.ID, event(latchkey.UserUnlocked)))
	must(t, db.DeleteUser(ctx, ana.ID, event(latchkey.UserDeleted)))
	for _, again := range []error{
		db.SetDisabled(ctx, ana.ID, true, event(latchkey.UserDisabled)),
		db.SetGroups(ctx, ana.ID, nil, event(latchkey.UserChanged)),
		db.DeleteUser(ctx, ana.ID, event(latchkey.UserDeleted)),
	} {
		if latchkey.CodeOf(again) != latchkey.NotFound {
			t.Errorf("changing a deleted user: %v, want not found", again)
		}
	}
	got, err := db.Events(ctx, audit.Query{User: "ANA", Limit: 100})
	must(t, err)
	kinds := map[latchkey.EventKind]int{}
	for _, e := range got {
		kinds[e.Kind]++
	}
	for _, k := range []latchkey.EventKind{latchkey.UserAdded, latchkey.UserDisabled, latchkey.UserEnabled, latchkey.UserChanged, latchkey.UserUnlocked, latchkey.UserDeleted} {
		if kinds[k] != 1 {
			t.Errorf("%d events %s, want 1: what failed leaves none", kinds[k], k)
		}
	}
}

// A name from before such names were refused hides nobody's id.
func TestAnIDIsNeverTakenForAName(t *testing.T) {
	t.Parallel()
	db, ana := peopled(t)
	_, err := db.AddUser(t.Context(), latchkey.User{Name: string(ana.ID), Directory: latchkey.Builtin}, latchkey.Event{Kind: latchkey.UserAdded})
	must(t, err)
	if u, err := db.UserNamed(t.Context(), string(ana.ID)); err != nil || u.ID != ana.ID {
		t.Errorf("%+v, %v", u, err)
	}
}

func TestEventsAreChosen(t *testing.T) {
	t.Parallel()
	db := open(t)
	for i, host := range []string{"a", "b", "a", "c"} {
		must(t, db.Record(t.Context(), latchkey.Event{
			ID: "evt_f" + string(rune('0'+i)), Kind: latchkey.LogonEvent, Host: host, UserName: "ana", Time: noon.Add(time.Duration(i) * time.Hour),
			Detail: map[string]string{"n": host},
		}))
	}
	for name, tc := range map[string]struct {
		query audit.Query
		want  string // ids, newest first
	}{
		"the newest":       {audit.Query{Limit: 2}, "evt_f3 evt_f2"},
		"the next page":    {audit.Query{Limit: 2, BeforeID: "evt_f2"}, "evt_f1 evt_f0"},
		"of a machine":     {audit.Query{Limit: 9, Machine: "a"}, "evt_f2 evt_f0"},
		"since":            {audit.Query{Limit: 9, Kind: "logon", Since: noon.Add(2 * time.Hour)}, "evt_f3 evt_f2"},
		"of another kind":  {audit.Query{Limit: 9, Kind: "machine.removed"}, ""},
		"N13 SQL in names": {audit.Query{Limit: 9, User: "' OR 1=1 --", Machine: "a' --"}, ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			events, err := db.Events(t.Context(), tc.query)
			must(t, err)
			got := ""
			for _, e := range events {
				if e.Kind == latchkey.LogonEvent {
					got += " " + e.ID
				}
			}
			if len(got) > 0 {
				got = got[1:]
			}
			if got != tc.want {
				t.Errorf("chosen %q, want %q", got, tc.want)
			}
		})
	}
}

func TestAnAdministratorsTokenOpensUntilReset(t *testing.T) {
	t.Parallel()
	db := open(t)
	ctx := t.Context()
	knows := func(hash string) bool {
		k, err := db.AdminByToken(ctx, []byte(hash))
		if err != nil && latchkey.CodeOf(err) != latchkey.NotFound {
			t.Fatal(err)
		}
		return err == nil && k.Admin.Name == "Root" && k.Admin.Role == latchkey.Owner
	}
	if has, err := db.HasAdmins(ctx); err != nil || has {
		t.Errorf("a new database has administrators: %v, %v", has, err)
	}
	must(t, db.CreateAdmin(ctx, "Root", latchkey.Owner, []byte("h1"), latchkey.Event{Kind: latchkey.AdminCreated}))
	if !knows("h1") || knows("h2") || knows("") {
		t.Error("the wrong token opens")
	}
	if err := db.CreateAdmin(ctx, "ROOT", latchkey.Owner, []byte("h2"), latchkey.Event{Kind: latchkey.AdminCreated}); latchkey.CodeOf(err) != latchkey.Conflict {
		t.Errorf("the same name again: %v", err)
	}
	must(t, db.ResetAdmin(ctx, "root", []byte("h3"), latchkey.Event{Kind: latchkey.AdminReset}))
	if knows("h1") || knows("h2") || !knows("h3") {
		t.Error("reset does not replace the tokens")
	}
	must(t, db.InTx(ctx, func(x *Tx) error { return x.exec("UPDATE api_tokens SET expires_at = $1", noon.UnixMilli()) }))
	if knows("h3") {
		t.Error("a token opens at its end")
	}
	must(t, db.InTx(ctx, func(x *Tx) error {
		return errors.Join(x.exec("UPDATE api_tokens SET expires_at = NULL"), x.exec("UPDATE admins SET disabled = TRUE"))
	}))
	if knows("h3") {
		t.Error("a disabled administrator's token opens")
	}
}
