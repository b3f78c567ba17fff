// Package vault is a machine's offline mind: it decides logons while the server
// cannot be asked, from what the server signed and sealed to this machine, and
// keeps what must survive a power cut in one small ledger.
//
// It holds no seed and issues nothing. It refuses to answer before the answer
// is durable, to read an older object than it has seen, to believe a clock that
// was set back, and to let anyone in on an error: whatever it cannot verify it
// treats as a machine that asks everybody.
package vault

import (
	"crypto/ecdh"
	"errors"
	"fmt"
	"io"
	"sync"
	"time"

	"latchkey"
	"latchkey/internal/api"
	"latchkey/internal/logon"
	"latchkey/internal/seal"
	"latchkey/internal/secret"
)

// What a caller branches on.
var (
	// ErrNone: the box holds no such object.
	ErrNone = errors.New("no such object")
	// ErrOlder: a signed object is older than one that was seen before.
	ErrOlder = errors.New("older than one seen before")
	// ErrForked: the same version was seen before with another content.
	ErrForked = errors.New("same version as one seen before, other content")
	// ErrForeign: a signed object that was made for another machine, deployment
	// or logon.
	ErrForeign = errors.New("signed for another machine or logon")
	// ErrUnfit: what stands in the place of an object is no plain file of this
	// machine's agent, or too large to be one.
	ErrUnfit = errors.New("not a plain file of the agent's own")
	// ErrFull: the ledger has no room for another user.
	ErrFull = errors.New("no room for another user in the ledger")
)

// A Box keeps the machine's objects. Names are relative paths with forward
// slashes, made by this package of letters, digits, dots, dashes and one slash
// or two.
type Box interface {
	// Read returns an object; ErrNone where there is none.
	Read(name string) ([]byte, error)
	// Write replaces an object. When it returns nil the object is durable; a
	// crash in between leaves the old one or the new one, never half of one.
	Write(name string, data []byte) error
	// Remove deletes an object, or a folder with all that is in it. That there
	// is none is no error.
	Remove(name string) error
	// List returns the names in a folder, without the folder; none where there
	// is no folder.
	List(folder string) ([]string, error)
	// Ledger opens the ledger; ErrNone where there is none.
	Ledger() (File, error)
	// NewLedger creates a ledger of size zero bytes, all of them allocated. A
	// ledger that is there already is kept aside under another name.
	NewLedger(size int64) (File, error)
}

// A Reading is one look at the clocks of the machine.
type Reading struct {
	Wall time.Time
	// Boot is the time since the machine started, suspension included.
	Boot time.Duration
	// BootID names the run of the machine; it changes at each start.
	BootID string
}

// A Config says whose vault it is.
type Config struct {
	Deployment string
	Machine    latchkey.MachineID
	Class      latchkey.KeyClass
	Agent      string            // version of the agent, "1.2.3"
	Sealing    ecdh.KeyExchanger // the machine's sealing key (P-256)
	Rand       io.Reader         // for the ledger's key and the nonces of questions
	Clock      func() Reading    // called once per decision
	Box        Box
}

// A Vault is open for one process; that no second one runs on the same box is
// the caller's to see to. It is safe for concurrent use.
type Vault struct {
	c  Config
	mu sync.Mutex // held for one decision, never across a prompt or the network
	// local is the key of the ledger's MACs, of prompt states and of the names
	// in the ledger.
	local    secret.Bytes
	ledger   *ledger
	keys     seal.KeySet
	settings *api.Settings // nil where they are missing, damaged or older than seen
	shelf    map[latchkey.UserID]*entry
	recent   recent
	offers   map[latchkey.LogonID]offer
}

var _ logon.Authority = (*Vault)(nil)

// Create starts a machine's vault when it joins: a new ledger key and an empty
// ledger. keys and settings are the signed objects that the machine was
// answered with; the channel that they came by is pinned, so the first key set
// is believed when one of its own keys signed it. It refuses a box that has a
// ledger.
func Create(c Config, keys, settings []byte) (*Vault, error) {
	if f, err := c.Box.Ledger(); err == nil {
		return nil, errors.Join(errors.New("creating vault: there is a ledger already"), f.Close())
	} else if !errors.Is(err, ErrNone) {
		return nil, fmt.Errorf("creating vault: %w", err)
	}
	v := empty(c)
	if err := v.join(keys, settings); err != nil {
		return nil, fmt.Errorf("creating vault: %w", err)
	}
	return v, nil
}

// join verifies everything before it writes anything: a join that fails can be
// tried again.
func (v *Vault) join(keys, settings []byte) error {
	v.ledger = &ledger{} // nothing has been seen
	if _, err := v.takeKeys(keys, true); err != nil {
		return err
	}
	if _, _, err := v.readSettings(settings); err != nil {
		return err
	}
	if err := v.newKey(); err != nil {
		return err
	}
	if err := v.newLedger(head{}); err != nil {
		return err
	}
	if err := v.storeKeys(keys); err != nil {
		return err
	}
	return v.storeSettings(settings)
}

// Open opens the vault. A ledger that is missing or damaged is no error: it is
// kept aside, and nobody logs in offline until the next contact with the
// server. Nor is a damaged signed object: the machine then asks everybody.
// Errors are those of the box and of the sealing key.
func Open(c Config) (*Vault, error) {
	v := empty(c)
	if err := v.openLedger(); err != nil {
		return nil, fmt.Errorf("opening vault: %w", err)
	}
	if err := v.loadKeys(); err != nil {
		return nil, fmt.Errorf("opening vault: %w", err)
	}
	if err := v.loadSettings(); err != nil {
		return nil, fmt.Errorf("opening vault: %w", err)
	}
	return v, nil
}

func empty(c Config) *Vault {
	return &Vault{c: c, shelf: map[latchkey.UserID]*entry{}, offers: map[latchkey.LogonID]offer{}}
}

// Close closes the ledger and wipes keys and codes from memory.
func (v *Vault) Close() error {
	v.mu.Lock()
	defer v.mu.Unlock()
	for u := range v.shelf {
		v.drop(u)
	}
	v.local.Wipe()
	v.local = nil // a MAC under zeros would be one that anybody can make
	return v.ledger.file.Close()
}

const localKey = "local.key"

// openLedger opens the ledger with its key, or starts a fresh one that says
// that the old one was lost: what was used of any allowance is then unknown.
func (v *Vault) openLedger() error {
	err := v.openKey()
	if err == nil {
		err = v.readLedger()
	}
	if !isLost(err) {
		return err
	}
	if v.local == nil {
		if err := v.newKey(); err != nil {
			return err
		}
	}
	return v.newLedger(head{Corrupt: 1, LostAt: forever})
}

// isLost: there is no ledger that this machine could believe.
func isLost(err error) bool {
	return errors.Is(err, ErrNone) || errors.Is(err, ErrUnfit) || errors.Is(err, errDamaged) || errors.Is(err, seal.ErrOpen)
}

func (v *Vault) readLedger() error {
	f, err := v.c.Box.Ledger()
	if err != nil {
		return err
	}
	if v.ledger, err = openLedger(f, v.local); err != nil {
		return errors.Join(err, f.Close())
	}
	return nil
}

func (v *Vault) newLedger(first head) error {
	f, err := v.c.Box.NewLedger(wholeShape.size())
	if err != nil {
		return err
	}
	v.ledger, err = formatLedger(f, v.local, wholeShape, first)
	return err
}

func (v *Vault) openKey() error {
	sealed, err := v.c.Box.Read(localKey)
	if err != nil {
		return fmt.Errorf("reading the ledger's key: %w", err)
	}
	key, err := seal.Open(v.c.Sealing, v.keyInfo(), nil, sealed)
	if err != nil {
		return fmt.Errorf("opening the ledger's key: %w", err)
	}
	v.local = key
	return nil
}

// newKey draws the ledger's key and seals it to the machine's own sealing key.
func (v *Vault) newKey() error {
	key := make(secret.Bytes, 32)
	if _, err := io.ReadFull(v.c.Rand, key); err != nil {
		return fmt.Errorf("drawing the ledger's key: %w", err)
	}
	sealed, err := seal.Seal(v.c.Sealing.PublicKey(), v.keyInfo(), nil, key)
	if err != nil {
		return fmt.Errorf("sealing the ledger's key: %w", err)
	}
	if err := v.c.Box.Write(localKey, sealed); err != nil {
		return fmt.Errorf("keeping the ledger's key: %w", err)
	}
	v.local = key
	return nil
}

func (v *Vault) keyInfo() []byte {
	return seal.Info("latchkey/local/1", v.c.Deployment, string(v.c.Machine))
}

// commit writes a draft with the time that has gone by.
func (v *Vault) commit(d *draft, r Reading) error {
	d.head.Clock = d.head.Clock.advance(r)
	return v.ledger.commit(d)
}
