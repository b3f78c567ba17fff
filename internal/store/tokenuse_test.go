package store

import (
	"fmt"
	"os"
	"strconv"
	"testing"
	"time"

	"latchkey"
	"latchkey/internal/api"
	"latchkey/internal/report"
)

// carried gives a user a token, and the machine a trail of logins with it: each
// so many hours before noon, offline or not.
func carried(t *testing.T, db *DB, u latchkey.User, token string, hours map[int]bool) {
	t.Helper()
	must(t, db.InTx(t.Context(), func(x *Tx) error {
		err := x.exec(`INSERT INTO authenticators (id, user_id, kind, label, algorithm, digits, period, wrapped, created_at)
			VALUES ($1, $2, 'hotp', '', 'SHA1', 6, 0, $3, 0)`, token, string(u.ID), []byte{0})
		n := uint64(0)
		for h, offline := range hours {
			if err != nil {
				return err
			}
			n++
			err = x.addRecord(record{Event: latchkey.Event{
				Time: noon.Add(-time.Duration(h) * time.Hour), Kind: latchkey.LogonEvent, User: u.ID, Machine: "mch_1",
				Outcome: latchkey.Allowed, Reason: latchkey.VerifiedOnline, Offline: offline, Logon: fmt.Sprint(token, h),
			}, Credential: latchkey.AuthenticatorID(token), Used: &n})
		}
		return err
	}))
}

func TestE06TheSizeOfABookGoesByRealLogins(t *testing.T) {
	t.Parallel()
	db, ana := peopled(t)
	ben, err := db.UserNamed(t.Context(), "ben")
	must(t, err)
	// Three days offline after an online login: 1, 2, and 3 logins a day; and one
	// login long ago.
	carried(t, db, ana, "aut_a", map[int]bool{24 * 4: false, 24 * 3: true, 24*3 - 1: true, 24*1 + 2: true, 24*1 + 1: true, 24 * 1: true, 24 * 100: true})
	carried(t, db, ben, "aut_b", nil)
	must(t, db.InTx(t.Context(), func(x *Tx) error {
		return x.addRecord(record{Event: latchkey.Event{
			Time: noon, Kind: latchkey.LogonEvent, User: ana.ID, Outcome: latchkey.Denied, Reason: latchkey.CodeAlreadyUsed,
		}, Credential: "aut_a"})
	}))
	r := report.New(db, func() time.Time { return noon })
	sizes := func(user string, s report.Sizing) []api.HOTPSize {
		t.Helper()
		rows, _, err := r.HOTPSizes(t.Context(), user, s, latchkey.Page{})
		must(t, err)
		return rows
	}
	rows := sizes("", report.Sizing{Back: 30, Variance: 20})
	if len(rows) != 2 || rows[0].User != "ana" || rows[1].User != "ben" {
		t.Fatalf("sizes of %+v", rows)
	}
	a := rows[0]
	if a.Logins != 6 || a.LoginDays != 3 || a.PerDay != 2 || a.Busiest != 3 || a.Away != 3 || a.Days != 3 {
		t.Errorf("counted %+v", a)
	}
	if a.Suggested == nil || *a.Suggested != (api.HOTPSettings{Window: 13, Buffer: 5, Quota: 8}) || !a.Fits || a.Now.Quota != 30 {
		t.Errorf("suggested %+v: 2 a day for 3 days and 20 %% are 8", a)
	}
	if b := rows[1]; b.Suggested != nil || b.Fits || b.Why == "" {
		t.Errorf("of somebody who never used it: %+v", b)
	}
	long := sizes("ANA", report.Sizing{Back: 30, Days: 7, Variance: 150})
	if len(long) != 1 || long[0].Suggested.Quota != 35 || long[0].Fits {
		t.Errorf("for 7 days with 150 %%: %+v", long)
	}
	if all := sizes("ana", report.Sizing{Back: 200, Days: 1}); all[0].Logins != 7 || all[0].Suggested.Quota != 3 {
		t.Errorf("all of the trail: %+v; the busiest day counts", all[0])
	}
	if rows := sizes("nobody", report.Sizing{Back: 30}); len(rows) != 0 {
		t.Errorf("sizes of nobody: %+v", rows)
	}
	first, next, err := r.HOTPSizes(t.Context(), "", report.Sizing{Back: 30}, latchkey.Page{Limit: 1})
	must(t, err)
	second, _, err := r.HOTPSizes(t.Context(), "", report.Sizing{Back: 30}, latchkey.Page{Limit: 1, After: next})
	must(t, err)
	if len(first) != 1 || len(second) != 1 || first[0].User != "ana" || second[0].User != "ben" {
		t.Errorf("in pages: %+v, %+v", first, second)
	}
}

func TestE08AReportSaysWhyABookIsTooSmall(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		policy func(*latchkey.Policy)
		days   int
		want   string
	}{
		"it fits":         {func(*latchkey.Policy) {}, 3, ""},
		"quota":           {func(p *latchkey.Policy) { *p.HOTP.Quota = 7 }, 3, "the codes would run out: hotp.quota is less than the trip takes"},
		"days":            {func(*latchkey.Policy) {}, 9, "offline.days is less than the trip"},
		"logins":          {func(p *latchkey.Policy) { *p.Offline.Logins = 5 }, 3, "offline.logins is less than the trip takes"},
		"offline is off":  {func(p *latchkey.Policy) { p.Offline.Enabled = false }, 3, "the policy switches offline logins off"},
		"nobody's policy": {func(p *latchkey.Policy) { p.Users = latchkey.Subjects{Names: []string{"eve"}} }, 3, "no policy covers the user"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			db, ana := peopled(t)
			carried(t, db, ana, "aut_a", map[int]bool{48: false, 47: false, 24: false, 23: false})
			must(t, db.EditPolicies(t.Context(), latchkey.Event{Kind: latchkey.PolicySet}, func([]latchkey.Policy) ([]latchkey.Policy, error) {
				p := latchkey.BuiltinPolicy()
				tc.policy(&p)
				return []latchkey.Policy{p}, nil
			}))
			rows, _, err := report.New(db, func() time.Time { return noon }).HOTPSizes(t.Context(), "ana", report.Sizing{Back: 30, Days: tc.days, Variance: 20}, latchkey.Page{})
			must(t, err)
			if len(rows) != 1 || rows[0].Why != tc.want || rows[0].Fits != (tc.want == "") {
				t.Errorf("%+v, want %q", rows, tc.want)
			}
		})
	}
}

// BenchmarkTokenUse is the report over a trail of so many events, half of them
// logins with tokens of a thousand people: LATCHKEY_EVENTS=1000000.
func BenchmarkTokenUse(b *testing.B) {
	n, _ := strconv.Atoi(os.Getenv("LATCHKEY_EVENTS"))
	n = max(n, 10_000)
	db := open(b)
	must(b, fillTokenUse(b, db, n))
	for b.Loop() {
		rows, err := db.TokenUse(b.Context(), "", noon.AddDate(0, 0, -30), latchkey.Page{})
		if err != nil || len(rows) != 1000 {
			b.Fatal(len(rows), err)
		}
	}
}

func fillTokenUse(b *testing.B, db *DB, n int) error {
	for i := range 1000 {
		err := db.InTx(b.Context(), func(x *Tx) error {
			id := fmt.Sprintf("usr_%04d", i)
			err := x.exec("INSERT INTO users (id, name, fold, directory, created_at) VALUES ($1, $1, $1, 'builtin', 0)", id)
			if err == nil {
				err = x.exec(`INSERT INTO authenticators (id, user_id, kind, label, algorithm, digits, period, wrapped, created_at)
					VALUES ($1, $2, 'hotp', '', 'SHA1', 6, 0, $3, 0)`, "aut_"+id, id, []byte{0})
			}
			for k := 0; err == nil && k < n/1000; k++ {
				used := uint64(k)
				e := record{Event: latchkey.Event{
					Time: noon.Add(-time.Duration(k) * time.Hour / 2), Kind: latchkey.LogonEvent, User: latchkey.UserID(id), Machine: "mch_1",
					Outcome: latchkey.Allowed, Offline: k%3 != 0, Logon: fmt.Sprint(i, "-", k),
				}}
				if k%2 == 0 {
					e.Credential, e.Used = latchkey.AuthenticatorID("aut_"+id), &used
				}
				err = x.addRecord(e)
			}
			return err
		})
		if err != nil {
			return err
		}
	}
	return nil
}
