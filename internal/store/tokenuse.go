package store

import (
	"context"
	"database/sql"
	"time"

	"latchkey"
	"latchkey/internal/report"
)

// tokenUse counts what the audit trail holds of hardware tokens: by the index on
// what each credential was used for, so that other events cost nothing; CROSS JOIN
// keeps SQLite from going through all of them for one user. A day is one of UTC. A stretch without the server lasts from the last login that it
// checked on the machine, or the first of all, to the last one before the next.
const tokenUse = `WITH holders AS (
		SELECT u.id, u.name, u.fold, u.directory, u.member_of FROM users u
		WHERE u.deleted_at IS NULL AND ($2 = '' OR u.fold = $3 OR u.id = $2) AND (u.fold > $4 OR u.fold = $4 AND u.id > $5)
		AND EXISTS (SELECT 1 FROM authenticators a WHERE a.user_id = u.id AND a.kind = 'hotp' AND a.removed_at IS NULL)
		ORDER BY u.fold, u.id LIMIT $6),
	logins AS (
		SELECT a.user_id, e.machine_id, e.time, e.offline FROM holders h CROSS JOIN authenticators a CROSS JOIN events e
		WHERE a.user_id = h.id AND a.kind = 'hotp' AND a.removed_at IS NULL
		AND e.credential = a.id AND e.outcome = 'allow' AND e.time >= $1),
	days AS (SELECT user_id, time / 86400000 AS day, count(*) AS n FROM logins GROUP BY user_id, time / 86400000),
	busy AS (SELECT user_id, CAST(sum(n) AS BIGINT) AS total, count(*) AS days, max(n) AS most FROM days GROUP BY user_id),
	stretches AS (
		SELECT user_id, offline, time - coalesce(max(CASE WHEN offline THEN NULL ELSE time END) OVER earlier, min(time) OVER earlier) AS away
		FROM logins WINDOW earlier AS (PARTITION BY user_id, machine_id ORDER BY time ROWS BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW)),
	longest AS (SELECT user_id, max(away) AS away FROM stretches WHERE offline GROUP BY user_id)
	SELECT h.id, h.name, h.directory, h.member_of, coalesce(b.total, 0), coalesce(b.days, 0), coalesce(b.most, 0), coalesce(l.away, 0)
	FROM holders h LEFT JOIN busy b ON b.user_id = h.id LEFT JOIN longest l ON l.user_id = h.id
	ORDER BY h.fold, h.id`

// TokenUse implements report.Store.
func (db *DB) TokenUse(ctx context.Context, user string, since time.Time, p latchkey.Page) ([]report.TokenUse, error) {
	k := p.Key(2)
	var out []report.TokenUse
	err := db.query(ctx, func(r *sql.Rows) error {
		var t report.TokenUse
		var groups string
		var away int64
		err := r.Scan(&t.User.ID, &t.User.Name, &t.User.Directory, &groups, &t.Logins, &t.Days, &t.Busiest, &away)
		if err != nil {
			return err
		}
		t.Away = time.Duration(away) * time.Millisecond
		t.User.Groups, err = groupsOf(t.User.ID, groups)
		out = append(out, t)
		return err
	}, tokenUse, since.UnixMilli(), user, latchkey.FoldName(user), k[0], k[1], p.Fetch())
	return out, err
}
