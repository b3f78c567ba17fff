// Package frame reads and writes LKLP/1, the protocol between a login
// front-end and the agent (docs/formats/lklp.md). It knows shapes and limits.
// It decides nothing, opens no socket, keeps no time, and guesses nothing:
// what is malformed is an error, and an error lets nobody in.
package frame

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
)

// Limits of a frame in bytes. MaxLength counts the type byte and the TLVs.
const (
	MaxLength  = 65536
	headerSize = 4
	tlvHeader  = 3
)

// ErrMalformed is wrapped by every error about the content of a frame, as
// opposed to errors of the connection (io.EOF, timeouts).
var ErrMalformed = errors.New("malformed frame")

// A Type says which message a frame carries.
type Type byte

// The message types. A front-end sends the first four, the agent the others.
const (
	TypeHello   Type = 0x01
	TypeBegin   Type = 0x02
	TypeAnswer  Type = 0x03
	TypeCancel  Type = 0x04
	TypeAsk     Type = 0x81
	TypeSay     Type = 0x82
	TypeTick    Type = 0x83
	TypeVerdict Type = 0x84
)

var typeNames = map[Type]string{
	TypeHello: "HELLO", TypeBegin: "BEGIN", TypeAnswer: "ANSWER", TypeCancel: "CANCEL",
	TypeAsk: "ASK", TypeSay: "SAY", TypeTick: "TICK", TypeVerdict: "VERDICT",
}

// String returns the name used in transcripts, or a hexadecimal number.
func (t Type) String() string {
	if name, ok := typeNames[t]; ok {
		return name
	}
	return fmt.Sprintf("type 0x%02x", byte(t))
}

// FromAgent says whether only the agent may send this type.
func (t Type) FromAgent() bool { return t >= 0x80 }

// A Field is one TLV. Its value may be secret: do not log it.
type Field struct {
	Tag   Tag
	Value []byte
}

// A Frame is one message before its meaning is checked.
type Frame struct {
	Type   Type
	Fields []Field
}

// String names the type only: the fields may hold a secret.
func (f Frame) String() string { return f.Type.String() }

// GoString keeps %#v from printing a secret.
func (f Frame) GoString() string { return f.Type.String() }

// Wipe overwrites the values of all fields.
func (f Frame) Wipe() {
	for _, field := range f.Fields {
		clear(field.Value)
	}
}

// Read takes one frame off r. It returns io.EOF when r ends between frames,
// io.ErrUnexpectedEOF inside one, and ErrMalformed for a bad length, an
// unknown type or a TLV that runs past the end. Nothing after an error can
// be read: close the connection.
func Read(r io.Reader) (Frame, error) {
	var header [headerSize]byte
	if _, err := io.ReadFull(r, header[:]); err != nil {
		return Frame{}, err
	}
	length := binary.BigEndian.Uint32(header[:])
	if length == 0 || length > MaxLength {
		return Frame{}, fmt.Errorf("length %d: %w", length, ErrMalformed)
	}
	body, err := readBody(r, int(length))
	if err != nil {
		return Frame{}, err
	}
	return split(body)
}

// readBody grows with what arrives, so that a header alone cannot make a
// peer's claim of 64 KiB cost 64 KiB.
func readBody(r io.Reader, length int) ([]byte, error) {
	body := make([]byte, min(length, 4096))
	if _, err := io.ReadFull(r, body); err != nil {
		clear(body)
		return nil, unexpected(err)
	}
	if len(body) == length {
		return body, nil
	}
	whole := make([]byte, length)
	n := copy(whole, body)
	clear(body)
	if _, err := io.ReadFull(r, whole[n:]); err != nil {
		clear(whole)
		return nil, unexpected(err)
	}
	return whole, nil
}

func unexpected(err error) error {
	if errors.Is(err, io.EOF) {
		return io.ErrUnexpectedEOF
	}
	return err
}

func split(body []byte) (Frame, error) {
	f := Frame{Type: Type(body[0])}
	if _, known := typeNames[f.Type]; !known {
		clear(body)
		return Frame{}, fmt.Errorf("%s: %w", f.Type, ErrMalformed)
	}
	for rest := body[1:]; len(rest) > 0; {
		if len(rest) < tlvHeader {
			clear(body)
			return Frame{}, fmt.Errorf("%s: field header cut short: %w", f.Type, ErrMalformed)
		}
		tag, size := Tag(rest[0]), int(binary.BigEndian.Uint16(rest[1:]))
		rest = rest[tlvHeader:]
		if size > len(rest) {
			clear(body)
			return Frame{}, fmt.Errorf("%s: field %d runs past the end: %w", f.Type, tag, ErrMalformed)
		}
		f.Fields = append(f.Fields, Field{tag, rest[:size:size]})
		rest = rest[size:]
	}
	return f, nil
}

// Write puts one frame on w in a single call and wipes its copy of it.
func Write(w io.Writer, f Frame) error {
	if _, known := typeNames[f.Type]; !known {
		return fmt.Errorf("writing %s: %w", f.Type, ErrMalformed)
	}
	length := 1
	for _, field := range f.Fields {
		if len(field.Value) > 0xffff {
			return fmt.Errorf("writing %s: field %d of %d bytes: %w", f.Type, field.Tag, len(field.Value), ErrMalformed)
		}
		length += tlvHeader + len(field.Value)
	}
	if length > MaxLength {
		return fmt.Errorf("writing %s: length %d: %w", f.Type, length, ErrMalformed)
	}
	// Exact capacity: appending must not leave a copy of a secret behind.
	buf := make([]byte, 0, headerSize+length)
	buf = binary.BigEndian.AppendUint32(buf, uint32(length))
	buf = append(buf, byte(f.Type))
	for _, field := range f.Fields {
		buf = append(buf, byte(field.Tag))
		buf = binary.BigEndian.AppendUint16(buf, uint16(len(field.Value)))
		buf = append(buf, field.Value...)
	}
	_, err := w.Write(buf)
	clear(buf)
	if err != nil {
		return fmt.Errorf("writing %s: %w", f.Type, err)
	}
	return nil
}
