// Package bugreport packs what support needs into one file, scrubbed.
//
// It refuses to carry secrets: what is put in is looked through value by value,
// and what could be a key, a token or a code is replaced, rather once too often.
// It refuses names and addresses too, unless they are asked for: they become
// pseudonyms that mean the same within one report and nothing in another.
package bugreport

import (
	"archive/tar"
	"compress/gzip"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"time"
)

// maxPart bounds one part, in bytes: a report is mailed.
const maxPart = 4 << 20

// A Report is a list of parts.
type Report struct {
	Scrub *Scrub
	now   time.Time
	parts []part
}

// A part is looked through when all of them are there: a name that one tells of
// may stand in another.
type part struct {
	name  string
	raw   []byte
	clean func(*Scrub, []byte) []byte
}

// New returns an empty report. random makes the key of its pseudonyms, which is
// written nowhere.
func New(random io.Reader, keepNames bool, now time.Time) (*Report, error) {
	s, err := newScrub(random, keepNames)
	if err != nil {
		return nil, err
	}
	return &Report{Scrub: s, now: now}, nil
}

// JSON adds a document.
func (r *Report) JSON(name string, v any) {
	raw, err := json.Marshal(v)
	if err != nil {
		r.Problem(name, err)
		return
	}
	r.parts = append(r.parts, part{name, raw, (*Scrub).pretty})
}

// Text adds lines, such as a log's. What is JSON in them is looked through as
// such.
func (r *Report) Text(name, text string) {
	r.parts = append(r.parts, part{name, []byte(text), (*Scrub).lines})
}

// Problem notes that a part could not be had: a report of what is broken has
// holes.
func (r *Report) Problem(name string, err error) { r.Text(name+".missing.txt", err.Error()) }

// Names are the parts, in the order in which they lie in the file.
func (r *Report) Names() []string {
	var out []string
	for _, p := range r.parts {
		out = append(out, p.name)
	}
	return out
}

// Write makes the file, for its owner's eyes only. One that exists, also as a
// link to nowhere, is left as it is.
func (r *Report) Write(path string) (err error) {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return fmt.Errorf("making the report: %w", err)
	}
	err = errors.Join(r.pack(f), f.Sync(), f.Close())
	if err != nil {
		err = errors.Join(fmt.Errorf("writing the report: %w", err), os.Remove(path))
	}
	return err
}

func (r *Report) pack(w io.Writer) error {
	z := gzip.NewWriter(w)
	t := tar.NewWriter(z)
	for _, p := range r.parts {
		r.Scrub.learn(p.raw)
	}
	if err := r.put(t, "README.txt", []byte(r.about())); err != nil {
		return err
	}
	for _, p := range r.parts {
		if err := r.put(t, p.name, p.clean(r.Scrub, p.raw)); err != nil {
			return err
		}
	}
	return errors.Join(t.Close(), z.Close())
}

func (r *Report) put(t *tar.Writer, name string, data []byte) error {
	if len(data) > maxPart {
		data = append([]byte("[the beginning was cut]\n"), data[len(data)-maxPart:]...)
	}
	h := &tar.Header{Name: "latchkey-bugreport/" + name, Mode: 0o600, Size: int64(len(data)), ModTime: r.now, Format: tar.FormatPAX}
	if err := t.WriteHeader(h); err != nil {
		return err
	}
	_, err := t.Write(data)
	return err
}

func (r *Report) about() string {
	text := `A report for support. Read it before you send it: it is text.

Codes, keys, tokens, passwords and whatever looks like one were replaced by
[secret] or [digits]; numbers of six to twelve digits in texts are taken for
codes. A logon's id became a name, the same in every report of every machine.
`
	if r.Scrub.keep {
		return text + "Names and addresses are in it as they are, because --names was given.\n"
	}
	return text + `Names of people, machines and policies, and addresses, were replaced by
pseudonyms: user- and eight letters. The same name has the same pseudonym within
this report; the key that made them was thrown away.
`
}
