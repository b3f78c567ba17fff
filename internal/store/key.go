package store

import (
	"context"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/x509"
	"database/sql"
	"errors"
	"fmt"
	"io"
	"strconv"

	"latchkey/internal/seal"
	"latchkey/internal/secret"
)

// Keys are the server's own: who it is and what it signs with.
type Keys struct {
	Deployment string
	Epoch      uint64             // raised by every restore from a backup
	Signer     ed25519.PrivateKey // of verdicts, headers, settings, when the database was opened; see Ring
	CA         *ecdsa.PrivateKey  // of the server's certificates
	State      secret.Bytes       // MACs what travels through machines
}

// Keys returns the server's keys.
func (db *DB) Keys() Keys { return db.identity }

// makeKeys makes the keys that do not exist yet and loads them all.
func (db *DB) makeKeys(ctx context.Context) error {
	err := db.InTx(ctx, func(t *Tx) error {
		id, err := db.newID("dep")
		if err != nil {
			return err
		}
		const insert = "INSERT INTO meta (name, value) VALUES ($1, $2) ON CONFLICT (name) DO NOTHING"
		if err := errors.Join(t.exec(insert, "deployment", id), t.exec(insert, "epoch", "1")); err != nil {
			return err
		}
		if err := t.noteMaster(); err != nil {
			return err
		}
		ring, err := t.loadRing()
		if err != nil {
			return err
		}
		db.ring.Store(&ring)
		db.identity = Keys{Signer: ring.Signer}
		return t.loadKeys(&db.identity, ring)
	})
	if err != nil {
		return fmt.Errorf("the server's keys: %w", err)
	}
	return nil
}

func (t *Tx) loadKeys(k *Keys, ring seal.Ring) error {
	var epoch string
	const get = "SELECT value FROM meta WHERE name = $1"
	if err := errors.Join(t.row(get, "deployment").Scan(&k.Deployment), t.row(get, "epoch").Scan(&epoch)); err != nil {
		return err
	}
	var err error
	if k.Epoch, err = strconv.ParseUint(epoch, 10, 63); err != nil {
		return fmt.Errorf("restore epoch: %w", err)
	}
	if k.State, err = t.secret("state", random(32)); err != nil {
		return err
	}
	der, err := t.secret("ca", newCAKey)
	if err != nil {
		return err
	}
	return t.caKey(k, der, ring)
}

func random(size int) func(io.Reader) (secret.Bytes, error) {
	return func(r io.Reader) (secret.Bytes, error) {
		b := make(secret.Bytes, size)
		_, err := io.ReadFull(r, b)
		return b, err
	}
}

func newCAKey(r io.Reader) (secret.Bytes, error) {
	k, err := ecdsa.GenerateKey(elliptic.P256(), r)
	if err != nil {
		return nil, err
	}
	return x509.MarshalECPrivateKey(k)
}

// secret returns the secret of a name and makes it where there is none.
func (t *Tx) secret(name string, fresh func(io.Reader) (secret.Bytes, error)) (secret.Bytes, error) {
	var wrapped []byte
	err := t.row("SELECT wrapped FROM secrets WHERE name = $1", name).Scan(&wrapped)
	if err == nil {
		return t.db.wrap.Unwrap("secrets/"+name, wrapped)
	}
	if !errors.Is(err, sql.ErrNoRows) {
		return nil, err
	}
	plain, err := fresh(t.db.rand)
	if err != nil {
		return nil, fmt.Errorf("making the secret %q: %w", name, err)
	}
	if wrapped, err = t.wrap("secrets/"+name, plain); err != nil {
		return nil, err
	}
	const insert = "INSERT INTO secrets (name, wrapped, created_at) VALUES ($1, $2, $3)"
	return plain, t.exec(insert, name, wrapped, t.db.now().UnixMilli())
}
