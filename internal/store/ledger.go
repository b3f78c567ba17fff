package store

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"latchkey"
	"latchkey/internal/fleet"
	"latchkey/internal/otp"
)

var _ fleet.Store = (*DB)(nil)

// Ledger gathers what is known of a machine and its users: all, or one.
func (db *DB) Ledger(ctx context.Context, id latchkey.MachineID, only latchkey.UserID) (fleet.Ledger, error) {
	l := fleet.Ledger{Users: map[latchkey.UserID]*fleet.Member{}}
	var row machineRow
	var revision, gen, reported, lost, version int64
	var ahead sql.NullInt64
	err := db.row(ctx, "SELECT r.value, m.generation, m.reported, m.report_hash, m.lost, m.floors_due, m.version, m.ahead_at, "+machineColumns+
		" FROM machines m JOIN revisions r ON r.name = 'policies' WHERE m.id = $1", string(id)).
		Scan(append([]any{&revision, &gen, &reported, &l.Hash, &lost, &l.FloorsDue, &version, &ahead}, row.dest()...)...)
	if err = found(err, "no such machine"); err != nil {
		return l, err
	}
	l.Machine, l.Generation, l.Reported, l.Lost = row.noun(), uint64(gen), uint64(reported), uint64(lost)
	l.Version, l.AheadAt = uint64(version), timeOf(ahead)
	if l.Policies, err = db.policiesAt(ctx, revision); err != nil {
		return l, err
	}
	if err := db.query(ctx, scanMember(l), members, string(id), string(only)); err != nil {
		return l, err
	}
	return l, db.query(ctx, db.scanToken(l), tokens, string(id), string(only))
}

const members = `SELECT u.id, u.name, u.directory, u.disabled, u.deleted_at, u.member_of,
		e.uid, e.enrolled_at, e.removed_at, e.wiped_at, e.anchor, e.uses, e.fails, e.retry_at,
		e.header_version, e.header_digest, e.granted, e.issued_at, e.version, e.acked
	FROM enrollments e JOIN users u ON u.id = e.user_id
	WHERE e.machine_id = $1 AND ($2 = '' OR e.user_id = $2)`

func scanMember(l fleet.Ledger) func(*sql.Rows) error {
	return func(r *sql.Rows) error {
		var u userRow
		var uid, enrolled, removed, wiped, anchor, retry sql.NullInt64
		var header, issued, highest, acked int64
		var m fleet.Member
		dest := append(u.dest(), &uid, &enrolled, &removed, &wiped, &anchor, &m.Uses, &m.Fails, &retry,
			&header, &m.Digest, &m.Granted, &issued, &highest, &acked)
		err := r.Scan(dest...)
		if err != nil {
			return err
		}
		if m.User, err = u.noun(); err != nil {
			return err
		}
		m.Deleted, m.DeletedAt, m.UID = u.deletedAt.Valid, timeOf(u.deletedAt), uidOf(uid)
		m.EnrolledAt, m.RemovedAt, m.WipedAt = timeOf(enrolled), timeOf(removed), timeOf(wiped)
		m.Anchor, m.RetryAt, m.IssuedAt = timeOf(anchor), timeOf(retry), time.UnixMilli(issued).UTC()
		m.Version, m.Highest, m.Acked = uint64(header), uint64(highest), uint64(acked)
		l.Users[m.User.ID] = &m
		return nil
	}
}

// tokens are the authenticators of a machine's users, those that were removed
// too: a machine may still report their codes.
const tokens = `SELECT a.id, a.user_id, a.kind, a.label, a.algorithm, a.digits, a.period, a.wrapped, a.next_use, a.removed_at,
		a.lease_machine, lm.name, a.lease_until, h.handed, h.base, h.anchor, h.first, h.burnt,
		CASE WHEN a.kind = 'hotp' THEN (SELECT used FROM events WHERE credential = a.id AND used IS NOT NULL AND NOT offline
			ORDER BY used DESC LIMIT 1) END
	FROM enrollments e JOIN authenticators a ON a.user_id = e.user_id
	LEFT JOIN machines lm ON lm.id = a.lease_machine
	LEFT JOIN handouts h ON h.authenticator_id = a.id AND h.machine_id = e.machine_id
	WHERE e.machine_id = $1 AND ($2 = '' OR e.user_id = $2)
	ORDER BY a.created_at, a.id`

func (db *DB) scanToken(l fleet.Ledger) func(*sql.Rows) error {
	return func(r *sql.Rows) error {
		var t fleet.Token
		var wrapped []byte
		var next int64
		var removed, leaseUntil, handed, base, anchor, first, burnt, seen sql.NullInt64
		var lease, host sql.NullString
		err := r.Scan(&t.ID, &t.User, &t.Kind, &t.Label, &t.Algorithm, &t.Digits, &t.Period, &wrapped, &next, &removed,
			&lease, &host, &leaseUntil, &handed, &base, &anchor, &first, &burnt, &seen)
		if err != nil {
			return err
		}
		t.Next, t.Removed = uint64(next), removed.Valid
		t.LeaseMachine, t.LeaseHost, t.LeaseUntil = latchkey.MachineID(lease.String), host.String, timeOf(leaseUntil)
		t.First, t.Handed, t.Burnt = uint64(first.Int64), uint64(handed.Int64), int(burnt.Int64)
		t.Base, t.BaseAnchor = uint64(base.Int64), timeOf(anchor)
		if seen.Valid {
			t.Seen = uint64(seen.Int64) + 1
		}
		t.Codes = func() (*otp.Generator, error) { return db.generator(t.ID, wrapped, t.Algorithm, t.Digits) }
		if m := l.Users[t.User]; m != nil {
			m.Tokens = append(m.Tokens, t)
		}
		return nil
	}
}

// UsedBy returns the login that a step or counter was used for before: this one
// where it was, else the first.
func (db *DB) UsedBy(ctx context.Context, c latchkey.AuthenticatorID, n uint64, l latchkey.LogonID) (u fleet.Use, err error) {
	err = db.row(ctx, `SELECT e.logon, e.host, coalesce(m.state, '') = 'quarantined' FROM events e LEFT JOIN machines m ON m.id = e.machine_id
		WHERE e.credential = $1 AND e.used = $2 ORDER BY CASE WHEN e.logon = $3 THEN 0 ELSE 1 END, e.time, e.id LIMIT 1`,
		string(c), int64(n), l).Scan(&u.Logon, &u.Host, &u.Doubted)
	if errors.Is(err, sql.ErrNoRows) {
		return fleet.Use{}, nil
	}
	u.Known = err == nil
	return u, err
}

// Merge writes what a report changes.
func (db *DB) Merge(ctx context.Context, m fleet.Merger) (version uint64, err error) {
	err = db.beside(ctx, func(t *Tx) error {
		if version, err = t.contact(m); err != nil {
			return err
		}
		if err := t.counters(m); err != nil {
			return err
		}
		if err := t.stillFirst(m); err != nil {
			return err
		}
		for _, e := range m.Events {
			if err := t.addRecord(record{Event: e.Event, Credential: e.Credential, Used: e.Used, Seq: &e.Seq}); err != nil {
				return err
			}
		}
		for _, c := range m.Members {
			if err := t.memberChange(m, c); err != nil {
				return err
			}
		}
		return t.incidents(m)
	})
	return version, err
}

// contact notes that the machine was heard, if nobody heard it in between, and
// gives its settings their next version.
func (t *Tx) contact(m fleet.Merger) (uint64, error) {
	version := max(m.Now.UnixMilli(), int64(m.Proven)+1)
	const update = `UPDATE machines SET os = $1, agent_version = $2, generation = $3, reported = $4, lost = $5, last_contact = $6,
		version = CASE WHEN version >= $7 THEN version + 1 ELSE $7 END, report_hash = $12, floors_due = FALSE, ahead_at = coalesce($13, ahead_at)
		WHERE id = $8 AND reported = $9 AND generation = $10 AND lost = $11 RETURNING version`
	var ahead any
	if m.Ahead {
		ahead = m.Now.UnixMilli()
	}
	err := t.row(update, m.OS, m.Version, int64(m.Gen), int64(m.Seq), int64(m.Lost), m.Now.UnixMilli(), version,
		string(m.Machine), int64(m.From.Reported), int64(m.From.Generation), int64(m.From.Lost), m.Hash, ahead).Scan(&version)
	if errors.Is(err, sql.ErrNoRows) {
		err = fleet.ErrRaced
	}
	return uint64(version), err
}

// memberChange stores the report's word on one user. Where he did an online
// MFA meanwhile his counts begin anew, and what was counted before is dropped.
func (t *Tx) memberChange(m fleet.Merger, c fleet.MemberChange) error {
	var synced any
	if c.Synced {
		synced = m.Now.UnixMilli()
	}
	key := []any{string(c.User), string(m.Machine)}
	const seen = `UPDATE enrollments SET acked = $3, synced_at = coalesce($4, synced_at),
		holds = CASE WHEN header_version = $3 THEN gives ELSE holds END WHERE user_id = $1 AND machine_id = $2`
	const counts = `UPDATE enrollments SET uses = $3, fails = $4, retry_at = $5
		WHERE user_id = $1 AND machine_id = $2 AND coalesce(anchor, 0) = $6`
	err := errors.Join(
		t.exec(seen, append(key, int64(c.Acked), synced)...),
		t.exec(counts, append(key, c.Uses, c.Fails, millis(c.Retry), anchorOf(c.Anchor))...))
	if err != nil || !c.Wiped {
		return err
	}
	return t.wiped(m, c)
}

func anchorOf(at time.Time) int64 {
	if at.IsZero() {
		return 0
	}
	return at.UnixMilli()
}

// wiped ends a disenrollment: the machine holds nothing of the user any more,
// and his HOTP codes may go to another.
func (t *Tx) wiped(m fleet.Merger, c fleet.MemberChange) error {
	return errors.Join(
		t.exec("UPDATE enrollments SET wiped_at = $1 WHERE user_id = $2 AND machine_id = $3", m.Now.UnixMilli(), string(c.User), string(m.Machine)),
		t.exec("UPDATE authenticators SET lease_until = $1 WHERE lease_until > $1 AND user_id = $2 AND lease_machine = $3",
			m.Now.UnixMilli(), string(c.User), string(m.Machine)),
		t.addEvent(latchkey.Event{
			Time: m.Now, Kind: latchkey.EnrollmentRemoved, Actor: "machine:" + m.From.Machine.Name, User: c.User,
			UserName: m.From.Users[c.User].User.Name, Machine: m.Machine, Host: m.From.Machine.Name,
			Detail: map[string]string{"wiped": "yes"},
		}))
}

// incidents records them, and quarantines a machine that reported the
// impossible.
func (t *Tx) incidents(m fleet.Merger) error {
	for _, e := range m.Incident {
		if err := t.addEvent(e); err != nil {
			return err
		}
	}
	for _, o := range m.Once {
		if err := t.once(m.Machine, o); err != nil {
			return err
		}
	}
	if m.Suspect == "" {
		return nil
	}
	n, err := t.affected("UPDATE machines SET state = 'quarantined', quarantine = $1 WHERE id = $2 AND state = 'active'", m.Suspect, string(m.Machine))
	if err != nil || n == 0 {
		return err
	}
	return t.addEvent(latchkey.Event{
		Time: m.Now, Kind: latchkey.MachineQuarantined, Actor: "server", Machine: m.Machine, Host: m.From.Machine.Name,
		Detail: map[string]string{"why": m.Suspect},
	})
}

// once writes an incident about a thing, where none is written yet.
func (t *Tx) once(id latchkey.MachineID, o fleet.Once) error {
	n, err := t.affected("INSERT INTO told (machine_id, what) VALUES ($1, $2) ON CONFLICT DO NOTHING", string(id), o.Thing)
	if err != nil || n == 0 {
		return err
	}
	return t.addEvent(o.Event)
}

// ToldOf reports whether an incident about a thing is written already.
func (db *DB) ToldOf(ctx context.Context, id latchkey.MachineID, thing string) (bool, error) {
	var one int
	err := db.row(ctx, "SELECT 1 FROM told WHERE machine_id = $1 AND what = $2", string(id), thing).Scan(&one)
	if errors.Is(err, sql.ErrNoRows) {
		return false, nil
	}
	return err == nil, err
}

// Issue makes a header current: while the machine is active, or quarantined where
// the header takes something away, and the user is active where it says so.
func (db *DB) Issue(ctx context.Context, i fleet.Issue) (uint64, error) {
	var version int64
	gives, err := json.Marshal(i.Gives)
	if err != nil {
		return 0, fmt.Errorf("writing what a header gives: %w", err)
	}
	err = db.beside(ctx, func(t *Tx) error {
		version = max(i.Now.UnixMilli(), int64(i.Proven)+1)
		if err := t.holder(i); err != nil {
			return err
		}
		state := latchkey.Active
		if i.Withdraws {
			state = latchkey.Quarantined
		}
		const update = `UPDATE enrollments SET header_digest = $1, issued_at = $2, granted = $8, gives = $10,
			header_version = CASE WHEN version >= $3 THEN version + 1 ELSE $3 END,
			version = CASE WHEN version >= $3 THEN version + 1 ELSE $3 END
			WHERE user_id = $4 AND machine_id = $5 AND header_version = $6
			AND EXISTS (SELECT 1 FROM machines WHERE id = $5 AND state = $9)
			AND (NOT $7 OR EXISTS (SELECT 1 FROM users WHERE id = $4 AND NOT disabled AND deleted_at IS NULL))
			RETURNING header_version`
		err := t.row(update, i.Digest, i.Now.UnixMilli(), version, string(i.User), string(i.Machine), int64(i.From), i.Active,
			string(i.Granted), string(state), string(gives)).Scan(&version)
		if errors.Is(err, sql.ErrNoRows) {
			return fleet.ErrRaced
		}
		if err != nil {
			return err
		}
		for _, lease := range i.Leases {
			if err := t.handOut(i, lease); err != nil {
				return err
			}
		}
		if err := t.shelve(i); err != nil {
			return err
		}
		if i.Event == nil {
			return nil // a status only: no code left the server
		}
		return t.addEvent(*i.Event)
	})
	return uint64(version), err
}
