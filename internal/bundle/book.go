package bundle

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"slices"
	"time"

	"latchkey"
	"latchkey/internal/otp"
	"latchkey/internal/secret"
)

// Day bounds a chunk of TOTP codes: chunks begin at multiples of a day of
// steps, so that a chunk never changes once it is whole.
const Day = 24 * time.Hour

// width is the size of one code in a chunk: 3 bytes up to 7 digits, else 4.
func width(digits int) int {
	if digits <= 7 {
		return 3
	}
	return 4
}

// Make returns the codes [from, from+count) of g as a chunk and its bytes.
func Make(g *otp.Generator, digits int, from uint64, count int) (Chunk, secret.Bytes) {
	w := width(digits)
	raw := make(secret.Bytes, 0, count*w)
	for i := range uint64(count) {
		v := g.At(from + i)
		if w == 4 {
			raw = append(raw, byte(v>>24))
		}
		raw = append(raw, byte(v>>16), byte(v>>8), byte(v))
	}
	sum := sha256.Sum256(raw)
	return Chunk{From: from, Count: count, SHA256: hex.EncodeToString(sum[:])}, raw
}

// TOTPRange is the inclusive range of steps that may be issued: from one
// window before now to the last whole step that ends at the horizon. ok is
// false where nothing may be issued.
func TOTPRange(now, horizon time.Time, period, window int) (from, to uint64, ok bool) {
	if horizon.IsZero() || !now.Before(horizon) {
		return 0, 0, false
	}
	end := otp.Step(horizon, period) // the step that the horizon falls in is not whole
	from = otp.Step(now, period)
	from -= min(from, uint64(max(0, window)))
	if end == 0 || end <= from {
		return 0, 0, false
	}
	return from, end - 1, true
}

// Days splits [from, to] at day boundaries of the period.
func Days(from, to uint64, period int) []Chunk {
	perDay := uint64(int(Day/time.Second) / period)
	var out []Chunk
	for from <= to {
		end := min(to, from/perDay*perDay+perDay-1)
		out = append(out, Chunk{From: from, Count: int(end - from + 1)})
		from = end + 1
	}
	return out
}

// A Book is a codebook: the codes of one credential that a machine holds.
type Book struct {
	digits int
	parts  []part
}

type part struct {
	Chunk
	raw secret.Bytes
}

// Open returns the book of c. raw yields the plaintext of a chunk by its
// SHA-256; a chunk that is missing, altered or of the wrong size is an error.
func Open(c Credential, raw func(sha256 string) (secret.Bytes, error)) (*Book, error) {
	b := &Book{digits: c.Digits}
	for _, ch := range c.Chunks {
		codes, err := raw(ch.SHA256)
		if err != nil {
			return nil, fmt.Errorf("codes from %d: %w", ch.From, err)
		}
		if err := ch.check(codes, c.Digits); err != nil {
			return nil, fmt.Errorf("codes from %d: %w", ch.From, err)
		}
		b.parts = append(b.parts, part{ch, codes})
	}
	slices.SortFunc(b.parts, func(x, y part) int { return int(min(max(int64(x.From)-int64(y.From), -1), 1)) })
	return b, nil
}

func (c Chunk) check(raw secret.Bytes, digits int) error {
	sum := sha256.Sum256(raw)
	if hex.EncodeToString(sum[:]) != c.SHA256 {
		return fmt.Errorf("the chunk is not the one that was signed")
	}
	if c.Count < 1 || len(raw) != c.Count*width(digits) || c.From+uint64(c.Count) < c.From {
		return fmt.Errorf("the chunk has the wrong size")
	}
	return nil
}

// At returns the code of step or counter n, or false where the book ends.
func (b *Book) At(n uint64) (uint32, bool) {
	for _, p := range b.parts {
		if n >= p.From && n-p.From < uint64(p.Count) {
			return p.code(int(n-p.From), width(b.digits)), true
		}
	}
	return 0, false
}

func (p part) code(i, w int) uint32 {
	var v uint32
	for _, b := range p.raw[i*w : (i+1)*w] {
		v = v<<8 | uint32(b)
	}
	return v
}

// Last is the last step or counter in the book; ok is false for an empty one.
func (b *Book) Last() (n uint64, ok bool) {
	if len(b.parts) == 0 {
		return 0, false
	}
	p := b.parts[len(b.parts)-1]
	return p.From + uint64(p.Count) - 1, true
}

// Wipe clears the codes from memory.
func (b *Book) Wipe() {
	for _, p := range b.parts {
		p.raw.Wipe()
	}
	b.parts = nil
}

var _ latchkey.Codes = (*Book)(nil)
