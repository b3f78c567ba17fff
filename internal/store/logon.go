package store

import (
	"cmp"
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"slices"

	"latchkey"
	"latchkey/internal/authn"
	"latchkey/internal/otp"
	"latchkey/internal/verify"
)

var _ authn.Store = (*DB)(nil)

// TOTPWindow is how many steps each side of now are accepted.
const TOTPWindow = 1

// A logon is gathered in one question to the database: a row for every
// authenticator of everyone who may be meant, or one row with the machine alone.
// Every column costs about as much as finding its row, so that what no decision
// asks for is not in it; the few rows are sorted later.
//
// Nearly always the uid is pinned to nobody, or to a user with the name that was
// typed: factsByName then has everyone, and says so in its second column. To
// look for both in one question costs a third more. There, who may be meant is
// one list of ids: of two conditions joined by OR, PostgreSQL makes a look at
// every user.
const (
	factsByName = factsOf + "u.directory = 'builtin' AND u.fold = $2" + factsOn
	factsByBoth = factsOf + "u.id IN (SELECT id FROM users WHERE directory = 'builtin' AND fold = $2 UNION ALL " + pinnedTo + ")" + factsOn

	pinnedTo = "SELECT user_id FROM enrollments WHERE machine_id = $1 AND uid = $3"
	factsOf  = `SELECT r.value, (` + pinnedTo + `), m.owner, m.name, m.state, m.mode, m.exempt_until, m.unknown_users,
	m.match_local, m.trust_on_enforced, m.key_class,
	u.id, u.name, u.directory, u.disabled, u.deleted_at, u.member_of,
	e.seen_at, e.uid, e.enrolled_at, e.removed_at, e.wiped_at, e.retry_at,
	a.id, a.kind, a.label, a.algorithm, a.digits, a.period, a.wrapped, a.next_use, a.fails, a.debt, a.retry_at, a.created_at, a.lease_to
	FROM revisions r JOIN machines m ON m.id = $1
	LEFT JOIN users u ON `
	factsOn = `
	LEFT JOIN enrollments e ON e.user_id = u.id AND e.machine_id = $1
	LEFT JOIN authenticators a ON a.user_id = u.id AND a.removed_at IS NULL
	WHERE r.name = 'policies'`
)

// Logon implements authn.Store.
func (db *DB) Logon(ctx context.Context, m latchkey.MachineID, l latchkey.Logon) (authn.Facts, error) {
	g := gathering{db: db, fold: latchkey.FoldName(l.User), uid: l.UID}
	// Two goroutines would watch a context that can end; the query is shorter.
	ask := func(query string) error {
		g.rows = nil
		return db.latest(context.WithoutCancel(ctx), g.scan, query, string(m), g.fold, optionalUID(l.UID))
	}
	err := ask(factsByName)
	if err == nil && !g.everyone() {
		err = ask(factsByBoth)
	}
	if err != nil {
		return authn.Facts{}, err
	}
	if len(g.rows) == 0 {
		return authn.Facts{}, latchkey.Errorf(latchkey.NotFound, "no such machine")
	}
	if err := g.gather(); err != nil {
		return authn.Facts{}, err
	}
	first := g.rows[0]
	g.facts.Machine, g.facts.Owner = first.machine(m), latchkey.UserID(first.owner.String)
	if g.facts.Policies, err = db.policiesAt(ctx, first.revision); err == nil && l.Caller != 0 {
		err = db.apart(ctx, m, &g.facts)
	}
	return g.facts, err
}

// A gathering collects the rows of a logon's facts.
type gathering struct {
	db    *DB
	fold  string
	uid   *uint32
	rows  []factRow
	facts authn.Facts
}

func (g *gathering) scan(r scanner) error {
	g.rows = append(g.rows, factRow{})
	return r.Scan(g.rows[len(g.rows)-1].dest()...)
}

// everyone reports whether the user whom the uid is pinned to is among the rows.
func (g *gathering) everyone() bool {
	for _, r := range g.rows {
		if !r.pinned.Valid || r.pinned == r.user.id {
			return true
		}
	}
	return len(g.rows) == 0
}

// gather makes candidates of the rows: who lives comes first, then who was
// deleted last; of his authenticators the oldest comes first.
func (g *gathering) gather() error {
	slices.SortFunc(g.rows, func(a, b factRow) int {
		return cmp.Or(
			cmp.Compare(b.user.left(), a.user.left()),
			cmp.Compare(a.user.id.String, b.user.id.String),
			cmp.Compare(a.auth.created.Int64, b.auth.created.Int64),
			cmp.Compare(a.auth.id.String, b.auth.id.String))
	})
	var c *authn.Candidate
	for _, row := range g.rows {
		if !row.user.id.Valid {
			continue // the machine alone
		}
		if c == nil || c.User.ID != latchkey.UserID(row.user.id.String) {
			u, err := row.user.noun()
			if err != nil {
				return err
			}
			c = &authn.Candidate{User: u, Deleted: row.user.deletedAt.Valid, Here: row.here.noun()}
			g.place(c)
		}
		if err := row.auth.hold(g.db, c); err != nil {
			return err
		}
	}
	return nil
}

// place says how the logon may mean c. Of several the first counts.
func (g *gathering) place(c *authn.Candidate) {
	if g.facts.Named == nil && c.User.Directory == latchkey.Builtin && latchkey.FoldName(c.User.Name) == g.fold {
		g.facts.Named = c
	}
	if g.facts.Pinned == nil && g.uid != nil && c.Here.UID != nil && *c.Here.UID == *g.uid {
		g.facts.Pinned = c
	}
}

type factRow struct {
	revision    int64
	pinned      sql.NullString // whom the uid belongs to
	owner       sql.NullString
	m           latchkey.Machine
	exemptUntil sql.NullInt64
	user        userRow
	here        hereRow
	auth        authRow
}

func (r *factRow) dest() []any {
	m, s, u, h, a := &r.m, &r.m.Settings, &r.user, &r.here, &r.auth
	return []any{
		&r.revision, &r.pinned, &r.owner, &m.Name, &m.State, &s.Mode, &r.exemptUntil, &s.UnknownUsers,
		&s.MatchLocal, &s.TrustOnEnforced, &m.KeyClass,
		&u.id, &u.name, &u.directory, &u.disabled, &u.deletedAt, &u.groups,
		&h.seen, &h.uid, &h.enrolled, &h.removed, &h.wiped, &h.retry,
		&a.id, &a.kind, &a.label, &a.algorithm, &a.digits, &a.period, &a.wrapped, &a.next, &a.fails, &a.debt, &a.retry, &a.created, &a.handed,
	}
}

// machine is the part of a machine that bears on a logon.
func (r *factRow) machine(id latchkey.MachineID) latchkey.Machine {
	m := r.m
	m.ID, m.Settings.ExemptUntil = id, timeOf(r.exemptUntil)
	return m
}

type userRow struct {
	id, name, directory, groups sql.NullString
	disabled                    sql.NullBool
	deletedAt                   sql.NullInt64
}

// left is when the user was deleted: never, for one who lives.
func (u *userRow) left() int64 {
	if !u.deletedAt.Valid {
		return math.MaxInt64
	}
	return u.deletedAt.Int64
}

func (u *userRow) dest() []any {
	return []any{&u.id, &u.name, &u.directory, &u.disabled, &u.deletedAt, &u.groups}
}

func (u *userRow) noun() (latchkey.User, error) {
	out := latchkey.User{ID: latchkey.UserID(u.id.String), Name: u.name.String, Directory: u.directory.String, Disabled: u.disabled.Bool}
	if u.groups.String == "" || u.groups.String == "[]" {
		return out, nil
	}
	if err := json.Unmarshal([]byte(u.groups.String), &out.Groups); err != nil {
		return out, fmt.Errorf("groups of user %s: %w", out.ID, err)
	}
	return out, nil
}

type hereRow struct{ seen, uid, enrolled, removed, wiped, retry sql.NullInt64 }

func (h *hereRow) noun() authn.Here {
	return authn.Here{
		Seen: h.seen.Valid, UID: uidOf(h.uid), EnrolledAt: timeOf(h.enrolled),
		RemovedAt: timeOf(h.removed), WipedAt: timeOf(h.wiped), RetryAt: timeOf(h.retry),
	}
}

type authRow struct {
	id, kind, label, algorithm        sql.NullString
	digits, period, next, fails, debt sql.NullInt64
	wrapped                           []byte
	retry, created, handed            sql.NullInt64
}

// hold adds the credential to what c has; nothing where the row has none.
func (a *authRow) hold(db *DB, c *authn.Candidate) error {
	if !a.id.Valid {
		return nil
	}
	held, err := a.held(db)
	c.Held = append(c.Held, held)
	return err
}

// held returns the credential with the means to compute its codes.
func (a *authRow) held(db *DB) (verify.Held, error) {
	g, err := db.generator(latchkey.AuthenticatorID(a.id.String), a.wrapped, a.algorithm.String, int(a.digits.Int64))
	if err != nil {
		return verify.Held{}, err
	}
	return verify.Held{
		Credential: latchkey.Credential{
			ID: latchkey.AuthenticatorID(a.id.String), Kind: latchkey.Kind(a.kind.String), Label: a.label.String,
			Digits: int(a.digits.Int64), Period: int(a.period.Int64), Window: TOTPWindow, Codes: codes{g},
		},
		Handed: uint64(a.handed.Int64),
		State: latchkey.CredentialState{
			Next: uint64(a.next.Int64), Fails: int(a.fails.Int64), Debt: int(a.debt.Int64), RetryAt: timeOf(a.retry),
		},
	}, nil
}

// generator opens a seed.
func (db *DB) generator(id latchkey.AuthenticatorID, wrapped []byte, algorithm string, digits int) (*otp.Generator, error) {
	seed, err := db.wrap.Unwrap(authenticatorRow(id), wrapped)
	if err != nil {
		return nil, fmt.Errorf("seed of %s: %w", id, err)
	}
	defer seed.Wipe()
	alg, err := otp.ParseAlgorithm(algorithm)
	if err != nil {
		return nil, fmt.Errorf("seed of %s: %w", id, err)
	}
	return otp.NewGenerator(seed, alg, digits)
}

// authenticatorRow is what a seed's wrapping is bound to.
func authenticatorRow(id latchkey.AuthenticatorID) string { return "authenticators/" + string(id) }

// codes is a seed as a verifier sees it: it knows every code.
type codes struct{ g *otp.Generator }

// At implements latchkey.Codes.
func (c codes) At(n uint64) (uint32, bool) { return c.g.At(n), true }

// Settle implements authn.Store.
func (db *DB) Settle(ctx context.Context, s authn.Settlement) (version uint64, err error) {
	err = db.beside(ctx, func(t *Tx) error {
		claimed, err := t.moves(s)
		if err != nil {
			return err
		}
		if version, err = t.sighting(s); err != nil {
			return err
		}
		if s.Result.Verdict != nil {
			s.Result.Verdict.Version = version
		}
		if err := t.settled(s); err != nil {
			return err
		}
		if s.LeftOut != nil {
			if err := t.addEvent(*s.LeftOut); err != nil {
				return err
			}
		}
		if s.Event.Kind == "" {
			return nil
		}
		r := record{Event: s.Event}
		if s.Used != nil {
			r.Credential, r.Used = s.Used.Credential, &s.Used.Number
		}
		if err := t.addRecord(r); err != nil || !claimed {
			return err
		}
		return t.double(s)
	})
	return version, err
}

// admissible are user $1 and machine $2 while no row of the outcome table keeps
// them out for what they are: the facts may be old by the time of the entry. No
// row is locked for it, which would cost every login another write: a word of
// the administrator's that is stored while the entry is being stored comes after
// it, as it would an instant later.
const admissible = `EXISTS (SELECT 1 FROM users WHERE id = $1 AND NOT disabled AND deleted_at IS NULL)
		AND EXISTS (SELECT 1 FROM machines WHERE id = $2 AND state <> 'removed')`

// sighting updates the user's row on the machine and returns the version of
// the verdict: higher than any before for the two, also after a restore.
func (t *Tx) sighting(s authn.Settlement) (uint64, error) {
	version := s.Now.UnixMilli()
	if s.User == "" {
		return uint64(version), t.stranger(s)
	}
	if !s.Enters {
		return t.refusal(s, version)
	}
	if known, err := t.proven(s, version); err != nil || known {
		return uint64(version), err
	}
	if err := t.pin(s); err != nil {
		return 0, err
	}
	const upsert = `INSERT INTO enrollments (user_id, machine_id, seen_at, uid, anchor, enrolled_at, version)
		SELECT $1, $2, $3, $4, $5, $6, $7 WHERE ` + admissible + `
		ON CONFLICT (user_id, machine_id) DO UPDATE SET
		seen_at = excluded.seen_at, uid = coalesce(excluded.uid, enrollments.uid),
		uses = CASE WHEN excluded.anchor IS NULL THEN enrollments.uses ELSE 0 END,
		fails = CASE WHEN excluded.anchor IS NULL THEN enrollments.fails ELSE 0 END,
		retry_at = CASE WHEN excluded.anchor IS NULL THEN enrollments.retry_at END,
		anchor = coalesce(excluded.anchor, enrollments.anchor),
		removed_at = CASE WHEN excluded.enrolled_at IS NULL THEN enrollments.removed_at END,
		wiped_at = CASE WHEN excluded.enrolled_at IS NULL THEN enrollments.wiped_at END,
		enrolled_at = coalesce(excluded.enrolled_at, enrollments.enrolled_at),
		version = CASE WHEN enrollments.version >= excluded.version THEN enrollments.version + 1 ELSE excluded.version END
		RETURNING version`
	var enrolled any
	if s.Enroll {
		enrolled = s.Now.UnixMilli()
	}
	err := t.row(upsert, string(s.User), string(s.Machine), s.Now.UnixMilli(), optionalUID(s.Pin), millis(s.Anchor), enrolled, version).Scan(&version)
	if unique(err) || errors.Is(err, sql.ErrNoRows) {
		return 0, authn.ErrRaced // somebody else pinned the uid, or they may not enter any more
	}
	if err != nil {
		return 0, err
	}
	return uint64(version), t.welcome(s)
}

// proven is sighting for the login that is nearly every login: of somebody who is
// known on the machine, with a code. It reports whether that is what it was; a
// version that is as high already is left to the statement that knows to top it.
func (t *Tx) proven(s authn.Settlement, version int64) (bool, error) {
	if s.Anchor.IsZero() || s.Pin != nil || s.Enroll || s.Own {
		return false, nil
	}
	const update = `UPDATE enrollments SET seen_at = $3, anchor = $4, uses = 0, fails = 0, retry_at = NULL, version = $5
		WHERE user_id = $1 AND machine_id = $2 AND version < $5 AND ` + admissible
	n, err := t.affected(update, string(s.User), string(s.Machine), s.Now.UnixMilli(), s.Anchor.UnixMilli(), version)
	return n == 1, err
}

// stranger is sighting for somebody whom nobody knows: he has no row, and the
// machine alone can keep him out.
func (t *Tx) stranger(s authn.Settlement) error {
	if s.Result.Verdict == nil || !s.Result.Verdict.Outcome.Enters() {
		return nil
	}
	var one int
	err := t.row("SELECT 1 FROM machines WHERE id = $1 AND state <> 'removed'", string(s.Machine)).Scan(&one)
	if errors.Is(err, sql.ErrNoRows) {
		err = authn.ErrRaced
	}
	return err
}

// refusal raises the version where the user has a row on the machine.
func (t *Tx) refusal(s authn.Settlement, version int64) (uint64, error) {
	const update = `UPDATE enrollments SET
		version = CASE WHEN version >= $1 THEN version + 1 ELSE $1 END,
		header_digest = CASE WHEN $2 THEN NULL ELSE header_digest END
		WHERE user_id = $3 AND machine_id = $4 RETURNING version`
	err := t.row(update, version, s.Anew, string(s.User), string(s.Machine)).Scan(&version)
	if errors.Is(err, sql.ErrNoRows) {
		err = nil
	}
	return uint64(version), err
}

// pin frees the uid of a deleted user for the one who has it now.
func (t *Tx) pin(s authn.Settlement) error {
	if s.Pin == nil {
		return nil
	}
	return t.exec(`UPDATE enrollments SET uid = NULL WHERE machine_id = $1 AND uid = $2
		AND user_id IN (SELECT id FROM users WHERE deleted_at IS NOT NULL)`, string(s.Machine), int64(*s.Pin))
}

// welcome does what only the first success on a machine brings.
func (t *Tx) welcome(s authn.Settlement) error {
	if s.Own {
		if err := t.exec("UPDATE machines SET owner = $1 WHERE id = $2 AND owner IS NULL", string(s.User), string(s.Machine)); err != nil {
			return err
		}
	}
	if !s.Enroll {
		return nil
	}
	e := s.Event
	e.ID, e.Kind, e.Outcome, e.Reason, e.Detail = "", latchkey.EnrollmentAdded, "", "", nil
	return t.addEvent(e)
}

func optionalUID(uid *uint32) any {
	if uid == nil {
		return nil
	}
	return int64(*uid)
}

func uidOf(n sql.NullInt64) *uint32 {
	if !n.Valid {
		return nil
	}
	uid := uint32(n.Int64)
	return &uid
}
