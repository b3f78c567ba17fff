package store

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"

	"latchkey"
	"latchkey/internal/seal"
)

// The format of a backup: docs/formats/backup.md.
const (
	backupMagic   = "latchkey backup\x00"
	backupVersion = 1
	maxManifest   = 64 << 10 // bytes
)

// A Manifest says what a backup holds.
type Manifest struct {
	Deployment string    `json:"deployment"`
	Schema     int       `json:"schema"` // number of the newest schema file
	CreatedAt  time.Time `json:"created_at"`
	Parts      []Part    `json:"parts"`
	SigningKey string    `json:"signing_key,omitempty"` // in use; a restore says it, the file does not
}

// A Part is one file in a backup.
type Part struct {
	Name   string `json:"name"`
	Size   int64  `json:"size"`
	SHA256 string `json:"sha256"` // hex
}

// Backup writes the database as it is at one moment to a new file, also while
// servers use it. The master key goes with it only where keyFile names it.
func (db *DB) Backup(ctx context.Context, out, keyFile string) (m Manifest, err error) {
	copied, err := db.snapshot(ctx, filepath.Dir(out))
	if err != nil {
		return Manifest{}, err
	}
	defer func() { err = errors.Join(err, os.Remove(copied)) }()
	known, err := migrations(schema, sqliteDialect)
	if err != nil {
		return Manifest{}, err
	}
	m = Manifest{Deployment: db.identity.Deployment, Schema: len(known), CreatedAt: db.now().UTC().Truncate(time.Second)}
	files := []string{copied}
	if keyFile != "" {
		files = append(files, keyFile)
	}
	for i, f := range files {
		p, err := partOf(f, []string{DatabaseFile, MasterKeyFile}[i])
		if err != nil {
			return Manifest{}, err
		}
		m.Parts = append(m.Parts, p)
	}
	return m, db.writeBackup(out, m, files)
}

// snapshot copies the database as it is at one moment, into a file that only
// its owner may read.
func (db *DB) snapshot(ctx context.Context, dir string) (string, error) {
	f, err := os.CreateTemp(dir, ".backup-*") // mode 0600
	if err != nil {
		return "", fmt.Errorf("making the backup: %w", err)
	}
	if err := errors.Join(db.on.snapshot(ctx, f.Name()), f.Close()); err != nil {
		return "", errors.Join(fmt.Errorf("copying the database: %w", err), os.Remove(f.Name()))
	}
	return f.Name(), nil
}

func partOf(path, name string) (Part, error) {
	f, err := os.Open(path)
	if err != nil {
		return Part{}, fmt.Errorf("reading for the backup: %w", err)
	}
	defer f.Close()
	h := sha256.New()
	n, err := io.Copy(h, f)
	return Part{name, n, hex.EncodeToString(h.Sum(nil))}, err
}

// writeBackup writes to another name first: a backup is whole or not there. Only
// one in the data directory goes to its owner: whoever owns another folder need
// not read what root puts there.
func (db *DB) writeBackup(out string, m Manifest, files []string) (err error) {
	if _, err := os.Lstat(out); err == nil {
		return latchkey.Errorf(latchkey.Conflict, "%s exists", out).WithHint("a backup overwrites nothing: choose another name")
	}
	f, err := os.CreateTemp(filepath.Dir(out), ".backup-*") // mode 0600
	if err != nil {
		return fmt.Errorf("making the backup: %w", err)
	}
	defer func() { err = errors.Join(err, os.Remove(f.Name())) }()
	err = m.write(f, files)
	if db.holds(out) {
		err = errors.Join(err, Give(f))
	}
	err = errors.Join(err, f.Sync(), f.Close())
	if err == nil {
		err = os.Link(f.Name(), out)
	}
	if err != nil {
		return fmt.Errorf("writing the backup: %w", err)
	}
	return syncDir(filepath.Dir(out))
}

// holds says whether a file lies in the data directory.
func (db *DB) holds(path string) bool {
	own, err := os.Stat(db.dir)
	dir, err2 := os.Stat(filepath.Dir(path))
	return err == nil && err2 == nil && os.SameFile(own, dir)
}

func (m Manifest) write(f io.Writer, files []string) error {
	doc, err := json.Marshal(m)
	if err != nil {
		return err
	}
	sum := sha256.New()
	w := io.MultiWriter(f, sum)
	head := binary.BigEndian.AppendUint32([]byte(backupMagic), backupVersion)
	head = binary.BigEndian.AppendUint32(head, uint32(len(doc)))
	if _, err := w.Write(append(head, doc...)); err != nil {
		return err
	}
	for _, name := range files {
		part, err := os.Open(name)
		if err != nil {
			return err
		}
		_, err = io.Copy(w, part)
		if err := errors.Join(err, part.Close()); err != nil {
			return err
		}
	}
	_, err = f.Write(sum.Sum(nil))
	return err
}

// ReadBackup checks a whole backup and returns what it holds; with a directory
// it puts the parts there, as new files.
func ReadBackup(path, dir string) (Manifest, error) {
	f, err := os.Open(path)
	if err != nil {
		return Manifest{}, fmt.Errorf("opening the backup: %w", err)
	}
	defer f.Close()
	sum := sha256.New()
	in := io.TeeReader(f, sum)
	m, err := readManifest(in)
	if err != nil {
		return Manifest{}, err
	}
	for _, p := range m.Parts {
		if err := p.read(in, dir); err != nil {
			return Manifest{}, err
		}
	}
	want := sum.Sum(nil)
	rest, err := io.ReadAll(io.LimitReader(f, sha256.Size+1))
	if err != nil || !bytes.Equal(rest, want) {
		return Manifest{}, errDamaged
	}
	return m, nil
}

var errDamaged = latchkey.Errorf(latchkey.Conflict, "the backup is damaged: cut off or altered").WithHint("take another one")

func readManifest(in io.Reader) (Manifest, error) {
	head := make([]byte, len(backupMagic)+8)
	if _, err := io.ReadFull(in, head); err != nil || string(head[:len(backupMagic)]) != backupMagic {
		return Manifest{}, latchkey.Errorf(latchkey.Invalid, "the file is no backup of Latchkey")
	}
	version, size := binary.BigEndian.Uint32(head[len(backupMagic):]), binary.BigEndian.Uint32(head[len(backupMagic)+4:])
	if version != backupVersion {
		return Manifest{}, newer("format", int(version), backupVersion)
	}
	doc := make([]byte, min(size, maxManifest))
	if _, err := io.ReadFull(in, doc); err != nil || size > maxManifest {
		return Manifest{}, errDamaged
	}
	var m Manifest
	if err := seal.DecodeStrict(doc, &m); err != nil {
		return Manifest{}, errDamaged
	}
	known, err := migrations(schema, sqliteDialect)
	if err == nil && m.Schema > len(known) {
		err = newer("schema", m.Schema, len(known))
	}
	if err == nil && (len(m.Parts) == 0 || m.Parts[0].Name != DatabaseFile || len(m.Parts) > 2 || len(m.Parts) == 2 && m.Parts[1].Name != MasterKeyFile) {
		err = errDamaged
	}
	return m, err
}

func newer(what string, has, known int) error {
	if has < 1 { // no version ever wrote that
		return errDamaged
	}
	return latchkey.Errorf(latchkey.Conflict, "the backup is newer than this program (%s %d, known up to %d)", what, has, known).
		WithHint("install the version of Latchkey that wrote it, or a later one")
}

// read takes one part; its name is one of two constants and leads nowhere else.
func (p Part) read(in io.Reader, dir string) error {
	if dir == "" {
		return p.copy(io.Discard, in)
	}
	f, err := os.OpenFile(filepath.Join(dir, p.Name), os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if err != nil {
		return fmt.Errorf("restoring: %w", err)
	}
	return errors.Join(p.copy(f, in), Give(f), f.Sync(), f.Close())
}

func (p Part) copy(out io.Writer, in io.Reader) error {
	h := sha256.New()
	_, err := io.CopyN(io.MultiWriter(out, h), in, p.Size)
	switch {
	case err != nil && !errors.Is(err, io.EOF):
		return fmt.Errorf("restoring: %w", err)
	case err != nil || hex.EncodeToString(h.Sum(nil)) != p.SHA256:
		return errDamaged
	}
	return nil
}
