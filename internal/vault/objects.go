package vault

import (
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"latchkey/internal/api"
	"latchkey/internal/seal"
)

const (
	keysName     = "keys.dsse"
	settingsName = "settings.dsse"
)

// seen describes a signed object by its version and its content. The times of
// issue and expiry are no content: an object may be signed again.
func seen(version uint64, content any) (object, error) {
	doc, err := json.Marshal(content)
	return object{version, sha256.Sum256(doc)}, err
}

// newer compares a signed object with what was seen before. The same version
// with another content means that somebody has two truths: ErrForked.
func (o object) newer(now object) error {
	switch {
	case now.Version < o.Version:
		return fmt.Errorf("%w: version %d after %d", ErrOlder, now.Version, o.Version)
	case now.Version == o.Version && o.Sum != now.Sum:
		return fmt.Errorf("%w: version %d", ErrForked, now.Version)
	}
	return nil
}

// passable: a damaged object is no reason to stop the agent; it counts as
// missing, and what is missing makes the machine ask everybody.
func passable(err error) bool {
	for _, e := range []error{
		ErrNone, ErrUnfit, ErrOlder, ErrForked, ErrForeign, seal.ErrMalformed, seal.ErrType,
		seal.ErrUnknownKey, seal.ErrSignature, seal.ErrNotStrict, seal.ErrOpen,
	} {
		if errors.Is(err, e) {
			return true
		}
	}
	return false
}

// loadKeys reads the key set from the box. It was verified when it was stored;
// what the ledger saw of it tells whether it is the same.
func (v *Vault) loadKeys() error {
	raw, err := v.c.Box.Read(keysName)
	if err == nil {
		_, err = v.takeKeys(raw, true)
	}
	if passable(err) {
		return nil
	}
	return err
}

// takeKeys verifies a key set and believes it from now on. own: a key of the
// set itself may have signed it.
func (v *Vault) takeKeys(raw []byte, own bool) (object, error) {
	set, pubs, err := v.readKeys(raw, own)
	if err != nil {
		return object{}, err
	}
	now, err := seen(set.Version, set)
	if err != nil {
		return object{}, fmt.Errorf("key set: %w", err)
	}
	if err := v.ledger.head.Keys.newer(now); err != nil {
		return object{}, fmt.Errorf("key set: %w", err)
	}
	v.keys = pubs
	return now, nil
}

func (v *Vault) readKeys(raw []byte, own bool) (api.KeySet, seal.KeySet, error) {
	none := seal.KeySet{}
	trusted := v.keys
	if own {
		claimed, err := claimedKeys(raw)
		if err != nil {
			return api.KeySet{}, none, fmt.Errorf("key set: %w", err)
		}
		trusted = claimed
	}
	doc, _, err := seal.Verify(raw, api.KeySetType, trusted)
	if err != nil {
		return api.KeySet{}, none, fmt.Errorf("key set: %w", err)
	}
	var set api.KeySet
	if err := seal.DecodeStrict(doc, &set); err != nil {
		return api.KeySet{}, none, fmt.Errorf("key set: %w", err)
	}
	if set.Deployment != v.c.Deployment {
		return api.KeySet{}, none, fmt.Errorf("key set: %w", ErrForeign)
	}
	pubs, err := parseKeys(set)
	return set, pubs, err
}

// claimedKeys are the keys that a set lists, before anything is verified: they
// serve to verify the very set, and for nothing else.
func claimedKeys(raw []byte) (seal.KeySet, error) {
	var e seal.Envelope
	if err := seal.DecodeStrict(raw, &e); err != nil {
		return seal.KeySet{}, err
	}
	var set api.KeySet
	if err := seal.DecodeStrict(e.Payload, &set); err != nil {
		return seal.KeySet{}, err
	}
	return parseKeys(set)
}

func parseKeys(set api.KeySet) (seal.KeySet, error) {
	var pubs []ed25519.PublicKey
	for _, k := range set.Keys {
		raw, err := base64.StdEncoding.DecodeString(k)
		if err != nil {
			return seal.KeySet{}, fmt.Errorf("key set: %w: a key is not base64", seal.ErrMalformed)
		}
		pubs = append(pubs, raw)
	}
	keys, err := seal.NewKeySet(pubs...)
	if err != nil {
		return seal.KeySet{}, fmt.Errorf("key set: %w: %w", seal.ErrMalformed, err)
	}
	return keys, nil
}

// storeKeys keeps a new key set: signed by a key that is believed already, the
// first one by a key of its own.
func (v *Vault) storeKeys(raw []byte) error {
	first := len(v.keys.IDs()) == 0
	now, err := v.takeKeys(raw, first)
	if err != nil || v.ledger.head.Keys == now {
		return err
	}
	if err := v.c.Box.Write(keysName, raw); err != nil {
		return fmt.Errorf("keeping key set: %w", err)
	}
	d := v.ledger.draft()
	d.head.Keys = now
	return v.ledger.commit(d)
}

func (v *Vault) loadSettings() error {
	raw, err := v.c.Box.Read(settingsName)
	if err == nil {
		v.settings, _, err = v.readSettings(raw)
	}
	if passable(err) {
		return nil
	}
	return err
}

// readSettings verifies the machine's settings.
func (v *Vault) readSettings(raw []byte) (*api.Settings, object, error) {
	doc, _, err := seal.Verify(raw, api.SettingsType, v.keys)
	if err != nil {
		return nil, object{}, fmt.Errorf("settings: %w", err)
	}
	var s api.Settings
	if err := seal.DecodeStrict(doc, &s); err != nil {
		return nil, object{}, fmt.Errorf("settings: %w", err)
	}
	if s.Deployment != v.c.Deployment || s.Machine != v.c.Machine {
		return nil, object{}, fmt.Errorf("settings: %w", ErrForeign)
	}
	content := s
	content.IssuedAt, content.NotAfter = 0, 0
	now, err := seen(s.Version, content)
	if err != nil {
		return nil, object{}, fmt.Errorf("settings: %w", err)
	}
	if err := v.ledger.head.Settings.newer(now); err != nil {
		return nil, object{}, fmt.Errorf("settings: %w", err)
	}
	return &s, now, nil
}

// renewed is how much longer settings must hold to be worth another write.
const renewed = time.Hour

// storeSettings keeps new settings, or the same ones signed again. A machine
// that was removed and is wanted again hears it from settings newer than the
// removal.
func (v *Vault) storeSettings(raw []byte) error {
	s, now, err := v.readSettings(raw)
	if err != nil {
		return err
	}
	if v.ledger.head.Settings == now && v.settings != nil && s.NotAfter-v.settings.NotAfter < renewed.Milliseconds() {
		return nil
	}
	if err := v.c.Box.Write(settingsName, raw); err != nil {
		return fmt.Errorf("keeping settings: %w", err)
	}
	d := v.ledger.draft()
	d.head.Settings = now
	if now.Version > d.head.RemovedV {
		d.head.Removed = 0
	}
	if err := v.ledger.commit(d); err != nil {
		return fmt.Errorf("keeping settings: %w", err)
	}
	v.settings = s
	return nil
}

// oldAgent reports whether the settings ask for a newer agent than this one.
// Versions that cannot be compared do not satisfy.
func oldAgent(have, least string) bool {
	if least == "" {
		return false
	}
	h, hok := dotted(have)
	l, lok := dotted(least)
	if !hok || !lok {
		return true
	}
	for i := range l {
		if h[i] != l[i] {
			return h[i] < l[i]
		}
	}
	return false
}

// dotted reads "1.2.3", "v1.2" or "1.2.3-rc1".
func dotted(s string) (n [3]int, ok bool) {
	s, _, _ = strings.Cut(strings.TrimPrefix(s, "v"), "-")
	parts := strings.Split(s, ".")
	if len(parts) > len(n) {
		return n, false
	}
	for i, p := range parts {
		v, err := strconv.Atoi(p)
		if err != nil || v < 0 {
			return n, false
		}
		n[i] = v
	}
	return n, true
}
