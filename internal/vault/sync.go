package vault

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"

	"latchkey"
	"latchkey/internal/api"
	"latchkey/internal/bundle"
	"latchkey/internal/seal"
	"latchkey/internal/secret"
)

// Pending fills in the vault's part of a sync: what is held for whom, and the
// oldest events that the server has not acknowledged, at most limit of them.
func (v *Vault) Pending(limit int) (api.SyncRequest, error) {
	v.mu.Lock()
	defer v.mu.Unlock()
	req := api.SyncRequest{
		Generation: v.ledger.head.Generation, Lost: v.ledger.head.Ring.Lost, Users: []api.Known{},
	}
	proof, err := v.c.Box.Read(settingsName)
	if err != nil && !passable(err) {
		return api.SyncRequest{}, fmt.Errorf("reading settings: %w", err)
	}
	req.Proof = proof
	for _, r := range v.ledger.users {
		if (r.State == slotHeld || r.State == slotTomb) && r.Version > 0 {
			req.Users = append(req.Users, r.known())
		}
	}
	req.Events, err = v.ledger.reports(limit)
	if req.Events == nil {
		req.Events = []api.Report{}
	}
	return req, err
}

// known is what the server is told of a user: of every floor, because a server
// that was restored does not remember what it told the machine.
func (r *record) known() api.Known {
	k := api.Known{
		User: latchkey.UserID(r.User.String()), Version: r.Version, Wiped: r.State == slotTomb,
		Uses: int(r.Uses), Anchor: r.Anchor, Floors: []latchkey.Floor{},
	}
	for _, h := range r.Held {
		if h.ID != (label{}) && h.Next > 0 {
			k.Floors = append(k.Floors, latchkey.Floor{Credential: latchkey.AuthenticatorID(h.ID.String()), Next: h.Next})
		}
	}
	return k
}

// Merge takes over the server's answer to a sync: signed time, keys, settings,
// the acknowledgement of events and of tombstones that were carried out. q is
// the inquiry whose nonce req carried. It returns the users whose bundle must be
// fetched. Errors of package seal and ErrForeign: this was no answer of the
// server; logon.ErrSlept: it is one of before a sleep. Nothing has changed then.
func (v *Vault) Merge(q Inquiry, req api.SyncRequest, resp api.SyncResponse) ([]api.News, error) {
	v.mu.Lock()
	defer v.mu.Unlock()
	now, err := v.readHealth(resp.Health, q)
	if err != nil {
		return nil, err
	}
	// One thing that is refused must not keep back the others.
	kept := errors.Join(v.mergeObject(resp.Keys, v.storeKeys), v.mergeObject(resp.Settings, v.storeSettings))
	d := v.ledger.draft()
	d.contact(now)
	pending, err := v.ledger.reports(int(v.ledger.shape.Events))
	if err != nil {
		return nil, fmt.Errorf("merging sync: %w", err)
	}
	d.acknowledge(resp.Acked, pending)
	v.bury(d, req.Users)
	if err := v.commit(d, now.r); err != nil {
		return nil, fmt.Errorf("merging sync: %w", err)
	}
	return v.stale(resp.Users), kept
}

func (v *Vault) mergeObject(raw []byte, store func([]byte) error) error {
	if len(raw) == 0 {
		return nil
	}
	return store(raw)
}

// bury forgets the tombstones that the server now knows are carried out.
func (v *Vault) bury(d *draft, told []api.Known) {
	for _, k := range told {
		i, ok := v.slotOf(k.User)
		if ok && k.Wiped && v.ledger.users[i].State == slotTomb && v.ledger.users[i].Version == k.Version {
			d.user(i).State = slotBuried
		}
	}
}

// stale are the users of whom the server has a newer header, or whose own is
// missing or broken here.
func (v *Vault) stale(news []api.News) []api.News {
	var out []api.News
	for _, n := range news {
		i, ok := v.slotOf(n.User)
		if !ok || n.Version > v.ledger.users[i].Version || v.damaged(&v.ledger.users[i]) {
			out = append(out, n)
		}
	}
	return out
}

func (v *Vault) damaged(r *record) bool {
	if r.State != slotHeld || r.Version == 0 {
		return false
	}
	u := latchkey.UserID(r.User.String())
	if e, ok := v.shelf[u]; ok {
		return e.broken
	}
	raw, err := v.c.Box.Read(headerName(u))
	return err != nil || len(raw) < 8 || binary.BigEndian.Uint64(raw) < r.Version
}

// Contact takes over the signed time of a health answer to q. Errors: seal's,
// ErrForeign, logon.ErrSlept.
func (v *Vault) Contact(health []byte, q Inquiry) error {
	v.mu.Lock()
	defer v.mu.Unlock()
	now, err := v.readHealth(health, q)
	if err != nil {
		return err
	}
	d := v.ledger.draft()
	d.contact(now)
	return v.commit(d, now.r)
}

func (v *Vault) readHealth(raw []byte, q Inquiry) (moment, error) {
	doc, _, err := seal.Verify(raw, api.HealthType, v.keys)
	if err != nil {
		return moment{}, fmt.Errorf("health: %w", err)
	}
	var h api.Health
	if err := seal.DecodeStrict(doc, &h); err != nil {
		return moment{}, fmt.Errorf("health: %w", err)
	}
	if q.Nonce == "" || h.Nonce != q.Nonce || h.Deployment != v.c.Deployment {
		return moment{}, fmt.Errorf("health: %w", ErrForeign)
	}
	now, err := q.answered(h.At, v.c.Clock())
	if err != nil {
		return moment{}, fmt.Errorf("health: %w", err)
	}
	return now, nil
}

// Have lists the chunks that are held for a user, by SHA-256.
func (v *Vault) Have(u latchkey.UserID) ([]string, error) {
	if err := checkUserID(u); err != nil {
		return nil, err
	}
	names, err := v.c.Box.List(userFolder(u))
	if err != nil {
		return nil, fmt.Errorf("listing codes of %s: %w", u, err)
	}
	have := []string{}
	for _, n := range names {
		if sum, ok := strings.CutPrefix(n, chunkPrefix); ok && hexSum(sum) {
			have = append(have, sum)
		}
	}
	return have, nil
}

// Store verifies and keeps a user's header and chunks: it opens all of them as
// a login would, before they replace what was held, so that a broken bundle is
// noticed while the server can still be asked. A tombstone wipes the user's
// files. Errors: ErrOlder, ErrForked, ErrFull, seal's, bundle.ErrForeign.
func (v *Vault) Store(b api.BundleResponse) error {
	v.mu.Lock()
	defer v.mu.Unlock()
	if err := checkUserID(b.User); err != nil {
		return err
	}
	file := headerFile(b.Version, b.Header)
	h, err := v.readHeader(b.User, file)
	if err != nil {
		return err
	}
	if err := v.notOlder(h); err != nil {
		return err
	}
	if h.Status == bundle.Tombstoned {
		return v.wipe(h)
	}
	e := v.openBooks(h, v.offered(b))
	if e.broken {
		return fmt.Errorf("bundle of %s: codes are missing or altered", b.User)
	}
	if err := v.keep(b, file); err != nil {
		return err
	}
	if err := v.adoptHeader(h); err != nil {
		return err
	}
	v.drop(b.User)
	v.shelf[b.User] = e
	return v.sweep(h)
}

func (v *Vault) notOlder(h bundle.Header) error {
	i, ok := v.slotOf(h.User)
	if !ok {
		return nil
	}
	r := &v.ledger.users[i]
	if h.Version < r.Version || h.Version == r.Version && r.State != slotHeld && h.Status != bundle.Tombstoned {
		return fmt.Errorf("bundle of %s: %w", h.User, ErrOlder)
	}
	if have, err := v.open(h.User, r.Version); err == nil && h.Version == have.Version && !sameHeader(have.Header, h) {
		return fmt.Errorf("bundle of %s: %w", h.User, ErrForked)
	}
	return nil
}

// offered yields the chunks of an answer, and of the box where the answer left
// out what is held already.
func (v *Vault) offered(b api.BundleResponse) func(string) (secret.Bytes, error) {
	held := v.held(b.User)
	return func(sum string) (secret.Bytes, error) {
		for _, c := range b.Chunks {
			if c.SHA256 == sum {
				return bundle.OpenChunk(c.Sealed, v.c.Sealing, v.c.Deployment, v.c.Machine, b.User, sum)
			}
		}
		raw, err := held(sum)
		if digest := sha256.Sum256(raw); err == nil && hex.EncodeToString(digest[:]) == sum {
			return raw, nil
		}
		if hexSum(sum) && (err == nil || passable(err)) {
			// Damaged: forgotten, so that the next answer brings it again.
			err = errors.Join(fmt.Errorf("chunk %s: %w", sum, ErrNone), v.c.Box.Remove(chunkName(b.User, sum)))
		}
		return nil, err
	}
}

// keep writes the chunks, and the header last: a crash in between leaves the
// old header with all its chunks.
func (v *Vault) keep(b api.BundleResponse, file []byte) error {
	for _, c := range b.Chunks {
		if !hexSum(c.SHA256) {
			return fmt.Errorf("bundle of %s: a chunk has no name", b.User)
		}
		if err := v.c.Box.Write(chunkName(b.User, c.SHA256), c.Sealed); err != nil {
			return fmt.Errorf("keeping codes of %s: %w", b.User, err)
		}
	}
	if err := v.c.Box.Write(headerName(b.User), file); err != nil {
		return fmt.Errorf("keeping bundle of %s: %w", b.User, err)
	}
	return nil
}

// adoptHeader writes into the ledger what a new header changes.
func (v *Vault) adoptHeader(h bundle.Header) error {
	d, r := v.ledger.draft(), v.c.Clock()
	rec := v.recordFor(d, h.User, true)
	if rec == nil {
		return fmt.Errorf("bundle of %s: %w", h.User, ErrFull)
	}
	rec.State, rec.Names = slotHeld, v.nameTags(h)
	rec.Version = h.Version
	if h.UID != nil {
		rec.Pinned, rec.UID = 1, *h.UID
	}
	if rec.Denial.clearedBy(h.Version) {
		rec.Denial = denial{}
	}
	if h.Anchor > d.head.LostAt {
		rec.anchor(h.Anchor)
	}
	if err := rec.arrange(h.Credentials); err != nil {
		return fmt.Errorf("bundle of %s: %w", h.User, err)
	}
	return v.commit(d, r)
}

// arrange gives the credentials of a header their places, and forgets those
// that it no longer names. A new credential inherits the most failures of any:
// changing the phone buys no guesses. A header that names none gives nothing, as
// one in quarantine does, and tells of nothing: what was used stays used for when
// they come back.
func (r *record) arrange(cs []bundle.Credential) error {
	if len(cs) == 0 {
		return nil
	}
	old, worst := *r, r.worst()
	r.Held = [maxCredentials]held{}
	for _, c := range cs[:min(len(cs), maxCredentials)] {
		h := r.hold(c.ID)
		if h == nil {
			return errNoPlace
		}
		h.Root = worst
		if was := old.find(c.ID); was != nil {
			*h = *was
		}
		h.Next, h.Issued = max(h.Next, c.Next), c.Next
	}
	return nil
}

// worst are the most failures of any credential.
func (r *record) worst() (f fails) {
	for _, h := range r.Held {
		if h.Root.Fails > f.Fails {
			f = h.Root
		}
	}
	return f
}

// wipe carries out a tombstone. The ledger says so first: a crash in between
// leaves files that nobody opens any more, and the next contact repeats it.
func (v *Vault) wipe(h bundle.Header) error {
	d, r := v.ledger.draft(), v.c.Clock()
	rec := v.recordFor(d, h.User, true)
	if rec == nil {
		return fmt.Errorf("tombstone of %s: %w", h.User, ErrFull)
	}
	*rec = record{
		User: rec.User, State: slotTomb, Names: v.nameTags(h), Version: h.Version,
		Pinned: rec.Pinned, UID: rec.UID, Anchor: rec.Anchor, Uses: rec.Uses, Held: rec.Held,
	}
	if err := v.commit(d, r); err != nil {
		return err
	}
	v.drop(h.User)
	if err := v.c.Box.Remove(userFolder(h.User)); err != nil {
		return fmt.Errorf("wiping %s: %w", h.User, err)
	}
	return nil
}

// sweep removes chunks that the header does not name any more.
func (v *Vault) sweep(h bundle.Header) error {
	have, err := v.Have(h.User)
	if err != nil {
		return err
	}
	for _, sum := range have {
		named := slices.ContainsFunc(h.Credentials, func(c bundle.Credential) bool {
			return slices.ContainsFunc(c.Chunks, func(ch bundle.Chunk) bool { return ch.SHA256 == sum })
		})
		if named {
			continue
		}
		if err := v.c.Box.Remove(chunkName(h.User, sum)); err != nil {
			return fmt.Errorf("removing old codes of %s: %w", h.User, err)
		}
	}
	return nil
}

// sameHeader compares what two headers of one version grant. Times of issue and
// expiry and what was used meanwhile may differ.
func sameHeader(a, b bundle.Header) bool {
	grants := func(h bundle.Header) ([]byte, error) {
		h.IssuedAt, h.NotAfter, h.Credentials = 0, 0, nil
		return json.Marshal(h)
	}
	x, errx := grants(a)
	y, erry := grants(b)
	return errx == nil && erry == nil && bytes.Equal(x, y)
}
