package vault

import (
	"encoding/binary"
	"errors"
	"fmt"
	"strings"
	"time"

	"latchkey"
	"latchkey/internal/bundle"
	"latchkey/internal/seal"
	"latchkey/internal/secret"
)

// An entry is an opened bundle. It stays in memory until another version is
// stored.
type entry struct {
	bundle.Header
	books map[latchkey.AuthenticatorID]*bundle.Book
	// broken: codes that the header names are missing or altered.
	broken bool
}

// open returns the bundle of a user: opened, verified, bound to this machine
// and this user, and not older than the ledger has seen.
func (v *Vault) open(u latchkey.UserID, seen uint64) (*entry, error) {
	if e, ok := v.shelf[u]; ok && e.Version >= seen {
		return e, nil
	}
	raw, err := v.c.Box.Read(headerName(u))
	if err != nil {
		return nil, fmt.Errorf("reading bundle of %s: %w", u, err)
	}
	h, err := v.readHeader(u, raw)
	if err != nil {
		return nil, err
	}
	if h.Version < seen {
		return nil, fmt.Errorf("bundle of %s: %w", u, ErrOlder)
	}
	e := v.openBooks(h, v.held(u))
	v.drop(u)
	v.shelf[u] = e
	return e, nil
}

// readHeader opens a header as the box keeps it: its version, which the seal is
// bound to, and the sealed object.
func (v *Vault) readHeader(u latchkey.UserID, raw []byte) (bundle.Header, error) {
	if len(raw) < 8 {
		return bundle.Header{}, fmt.Errorf("bundle of %s: %w", u, seal.ErrOpen)
	}
	return bundle.OpenHeader(raw[8:], v.c.Sealing, v.keys, v.c.Deployment, v.c.Machine, u, binary.BigEndian.Uint64(raw))
}

func headerFile(version uint64, sealed []byte) []byte {
	return append(binary.BigEndian.AppendUint64(nil, version), sealed...)
}

// openBooks opens the codes that a header names. A credential without its codes
// cannot be used; the others can.
func (v *Vault) openBooks(h bundle.Header, raw func(sha string) (secret.Bytes, error)) *entry {
	e := &entry{Header: h, books: map[latchkey.AuthenticatorID]*bundle.Book{}}
	for i, c := range h.Credentials {
		if i >= maxCredentials || !fits(string(c.ID)) {
			break // the ledger could not keep its state
		}
		b, err := bundle.Open(c, raw)
		if err != nil {
			e.broken = true
			continue
		}
		e.books[c.ID] = b
	}
	return e
}

// held yields the plaintext of a user's chunks in the box.
func (v *Vault) held(u latchkey.UserID) func(sha string) (secret.Bytes, error) {
	return func(sha string) (secret.Bytes, error) {
		if !hexSum(sha) {
			return nil, fmt.Errorf("chunk: %w", ErrNone)
		}
		sealed, err := v.c.Box.Read(chunkName(u, sha))
		if err != nil {
			return nil, fmt.Errorf("reading chunk: %w", err)
		}
		return bundle.OpenChunk(sealed, v.c.Sealing, v.c.Deployment, v.c.Machine, u, sha)
	}
}

// drop forgets an opened bundle and wipes its codes.
func (v *Vault) drop(u latchkey.UserID) {
	if e, ok := v.shelf[u]; ok {
		for _, b := range e.books {
			b.Wipe()
		}
		delete(v.shelf, u)
	}
}

// until is the last instant of offline use: what the server wrote, and never
// more than the class of this machine's keys allows from the anchor.
func (e *entry) until(class latchkey.KeyClass) time.Time {
	if e.Policy == nil || e.Until == 0 {
		return time.Time{}
	}
	most := bundle.Horizon(e.AnchorTime(), e.Policy.Limit(class))
	if u := e.UntilTime(); u.Before(most) {
		return u
	}
	return most
}

const usersFolder = "users"

func userFolder(u latchkey.UserID) string            { return usersFolder + "/" + string(u) }
func headerName(u latchkey.UserID) string            { return userFolder(u) + "/header" }
func chunkName(u latchkey.UserID, sha string) string { return userFolder(u) + "/" + chunkPrefix + sha }

const chunkPrefix = "chunk-"

var errUserID = errors.New("user id cannot be kept")

// checkUserID refuses an id that could not be a folder's name. Ids come from
// the server, but they become paths here.
func checkUserID(u latchkey.UserID) error {
	s := string(u)
	bad := func(r rune) bool {
		return !strings.ContainsRune("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_-.", r)
	}
	if !fits(s) || s[0] == '.' || strings.ContainsFunc(s, bad) {
		return errUserID
	}
	return nil
}

func hexSum(s string) bool {
	return len(s) == 64 && strings.Trim(s, "0123456789abcdef") == ""
}
