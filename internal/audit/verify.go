package audit

import (
	"bytes"
	"context"
	"encoding/hex"
	"fmt"
	"time"

	"latchkey"
	"latchkey/internal/api"
	"latchkey/internal/seal"
)

// MaxVerify is the most rows that one call of Verify reads.
const MaxVerify = 100_000

// linkPage is how many rows are in memory at a time.
const linkPage = Block

// Ends are the ends of the chain at one moment.
type Ends struct {
	Sealed   int64  // highest position of a row
	Signed   int64  // highest position of a checkpoint
	Rows     int64  // rows with a position
	Unsealed int64  // rows without
	Noted    *Place // what the sealer wrote down as the end; nil: that is gone, or somebody else's
}

// A Place is a position of the chain and the hash there.
type Place struct {
	Position int64
	Hash     []byte
}

// ChainStore is the part of the database that verification needs.
type ChainStore interface {
	Ends(ctx context.Context) (Ends, error)
	// Links returns rows behind a position, in the order of the chain.
	Links(ctx context.Context, after int64, limit int) ([]Link, error)
	// Checkpoints returns those behind a position, up to and with another.
	Checkpoints(ctx context.Context, after, upTo int64) ([]Signed, error)
}

// A Chain is the sealed part of the trail.
type Chain struct {
	store  ChainStore
	notary Notary
}

// NewChain returns the chain kept in store.
func NewChain(store ChainStore, notary Notary) *Chain { return &Chain{store, notary} }

// A walk is a verification under way.
type walk struct {
	*Chain
	ends   Ends
	after  int64      // where it began
	at     int64      // position of the last row that held
	hash   []byte     // its hash
	signed int64      // position of the last checkpoint that held
	reign  seal.Reign // of the key that signed it
	moment time.Time  // when it did
	out    api.AuditVerdict
}

// Verify checks the rows behind a position, MaxVerify of them at most, and
// stops at the first broken link. Next is where to go on; 0 at the end. The row
// at after itself is taken as it is: begin with 0.
func (c *Chain) Verify(ctx context.Context, after int64) (api.AuditVerdict, error) {
	if after < 0 {
		return api.AuditVerdict{}, latchkey.Errorf(latchkey.Invalid, "positions begin with 0")
	}
	w := walk{Chain: c, after: after, at: after, signed: after}
	var err error
	if w.ends, err = c.store.Ends(ctx); err != nil {
		return api.AuditVerdict{}, err
	}
	w.out.Sealed, w.out.Unsealed = w.ends.Rows, w.ends.Unsealed
	if err := w.begin(ctx); err != nil {
		return api.AuditVerdict{}, err
	}
	for w.out.Broken == nil && w.at < w.ends.Sealed && w.at-after < MaxVerify {
		if err := w.page(ctx); err != nil {
			return api.AuditVerdict{}, err
		}
	}
	return w.verdict(), nil
}

// VerifyAll calls Verify until the end or the first broken link.
func (c *Chain) VerifyAll(ctx context.Context) (api.AuditVerdict, error) {
	return Walk(func(after int64) (api.AuditVerdict, error) { return c.Verify(ctx, after) })
}

// Walk joins the verdicts of the parts of a chain, from its beginning to the
// end or the first broken link.
func Walk(verify func(after int64) (api.AuditVerdict, error)) (api.AuditVerdict, error) {
	var all api.AuditVerdict
	for after := int64(0); ; {
		part, err := verify(after)
		if err != nil {
			return api.AuditVerdict{}, err
		}
		part.Verified += all.Verified
		part.Checkpoints += all.Checkpoints
		all = part
		switch {
		case all.Next == 0:
			return all, nil
		case all.Next <= after:
			return api.AuditVerdict{}, fmt.Errorf("verifying from position %d leads back to %d", after, all.Next)
		}
		after = all.Next
	}
}

// begin reads the hash of the row that the first one follows.
func (w *walk) begin(ctx context.Context) error {
	if w.at == 0 {
		return nil
	}
	rows, err := w.store.Links(ctx, w.at-1, 1)
	if err != nil {
		return err
	}
	if len(rows) == 0 || rows[0].Position != w.at {
		w.broken(w.at, "", api.LinkMissing, "there is no row at position %d", w.at)
		return nil
	}
	w.hash = rows[0].Hash
	signed, err := w.store.Checkpoints(ctx, w.at-1, w.at)
	if err != nil || len(signed) == 0 {
		return err
	}
	if c, reign, err := w.notary.Open(signed[0]); err == nil {
		w.reign, w.moment = reign, time.UnixMilli(c.At)
	}
	return nil
}

// page checks one page of rows and the checkpoints in it.
func (w *walk) page(ctx context.Context) error {
	rows, err := w.store.Links(ctx, w.at, linkPage)
	if err != nil {
		return err
	}
	if len(rows) == 0 {
		w.broken(w.at+1, "", api.LinkMissing, "the rows from position %d on are gone", w.at+1)
		return nil
	}
	signed, err := w.store.Checkpoints(ctx, w.at, rows[len(rows)-1].Position)
	if err != nil {
		return err
	}
	for _, r := range rows {
		// What was sealed after this began is for the next time.
		if w.at == w.ends.Sealed || !w.link(r) {
			return nil
		}
		if len(signed) > 0 && signed[0].Position == r.Position {
			if !w.checkpoint(signed[0]) {
				return nil
			}
			signed = signed[1:]
		}
		if w.at-w.signed > 2*Block {
			w.broken(w.signed+1, "", api.CheckpointMissing, "the checkpoints between the positions %d and %d are gone", w.signed, w.at)
			return nil
		}
	}
	return nil
}

// link checks one row against the one before.
func (w *walk) link(r Link) bool {
	switch {
	case r.Position != w.at+1:
		w.broken(w.at+1, "", api.LinkMissing, "the row at position %d is missing; the next one is %s at position %d", w.at+1, r.ID, r.Position)
	case !bytes.Equal(r.Hash, Next(w.hash, r.Position, r.Columns)):
		w.broken(r.Position, r.ID, api.LinkAltered, "row %s at position %d is not the one that was sealed there: edited, or moved from another place", r.ID, r.Position)
	default:
		w.at, w.hash = r.Position, r.Hash
		w.out.Verified++
		return true
	}
	return false
}

// checkpoint checks what the server signed of the row that was checked last.
func (w *walk) checkpoint(s Signed) bool {
	c, reign, err := w.notary.Open(s)
	if err == nil && reign.Precedes(w.reign, w.moment) {
		err = fmt.Errorf("its key had been succeeded when the one before was signed")
	}
	switch {
	case err != nil:
		w.broken(s.Position, "", api.CheckpointAltered, "the checkpoint at position %d was not signed by this server: %v", s.Position, err)
	case c.Hash != hex.EncodeToString(w.hash):
		w.broken(w.signed+1, "", api.LinkAltered, "the rows from position %d to %d are not those that the server signed: they were rewritten, with their hashes", w.signed+1, s.Position)
	default:
		w.signed, w.reign, w.moment = s.Position, reign, time.UnixMilli(c.At)
		w.out.Checkpoints++
		return true
	}
	return false
}

func (w *walk) broken(position int64, event, kind, format string, args ...any) {
	w.out.Broken = &api.BrokenLink{Position: position, Event: event, Kind: kind, Detail: fmt.Sprintf(format, args...)}
}

// verdict looks at the end: the server signs the last row of each round, so
// rows that end before or behind the last checkpoint were not left by it.
func (w *walk) verdict() api.AuditVerdict {
	if w.out.Broken == nil && w.at < w.ends.Sealed {
		// The next call begins where the last signature held.
		w.out.Next, w.out.Verified = w.signed, w.signed-w.after
	}
	if w.out.Broken == nil && w.out.Next == 0 {
		switch {
		case w.ends.Rows > w.ends.Sealed:
			w.broken(w.ends.Sealed+1, "", api.LinkAltered, "%d rows have a place that is taken, or none that is a number", w.ends.Rows-w.ends.Sealed)
		case w.ends.Signed > w.ends.Sealed:
			w.broken(w.ends.Sealed+1, "", api.LinkMissing, "the end is cut off: the server signed position %d, and the last row is at %d", w.ends.Signed, w.ends.Sealed)
		case w.ends.Signed < w.ends.Sealed:
			w.broken(w.ends.Signed+1, "", api.CheckpointMissing, "the server did not sign the rows from position %d to %d", w.ends.Signed+1, w.ends.Sealed)
		default:
			w.noted(w.ends.Noted)
		}
	}
	w.out.OK = w.out.Broken == nil
	w.out.Head = api.ChainHead{Position: w.at, Hash: hex.EncodeToString(w.hash)}
	return w.out
}

// noted compares the end with what the sealer wrote down: a chain that was
// rewritten, or cut off, as a whole has all that the rest asks for.
func (w *walk) noted(end *Place) {
	switch {
	case end == nil:
		w.broken(w.at, "", api.CheckpointMissing, "what the server noted of the end is gone, or somebody else wrote it")
	case end.Position > w.at:
		w.broken(w.at+1, "", api.LinkMissing, "the end is cut off: the server sealed position %d, and the last row is at %d", end.Position, w.at)
	case end.Position < w.at:
		w.broken(end.Position+1, "", api.LinkAltered, "the server did not seal the rows from position %d to %d", end.Position+1, w.at)
	case !bytes.Equal(end.Hash, w.hash):
		w.broken(w.at, "", api.LinkAltered, "the rows up to position %d are not those that the server sealed: they were rewritten", w.at)
	}
}
