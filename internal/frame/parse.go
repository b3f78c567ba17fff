package frame

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"unicode/utf8"
)

const (
	maxOptionID    = 64
	maxOptionLabel = 256
)

func malformed(t Type, tag Tag, what string) error {
	return fmt.Errorf("%s: field %d: %s: %w", t, tag, what, ErrMalformed)
}

// Parse checks f against the format and returns its message by value (Hello,
// Begin, …). Unknown tags are ignored. The error wraps ErrMalformed and never
// holds a value. An Answer's Value is the frame's own memory.
func Parse(f Frame) (Message, error) {
	p, err := collect(f)
	if err != nil {
		return nil, err
	}
	switch f.Type {
	case TypeHello:
		return p.hello()
	case TypeBegin:
		return p.begin()
	case TypeAnswer:
		return Answer{ID: p.u32(TagID), Value: p.one[TagValue]}, nil
	case TypeCancel:
		return Cancel{}, nil
	case TypeAsk:
		return p.ask()
	case TypeSay:
		return p.say()
	case TypeTick:
		return Tick{Version: p.u8(TagVersion)}, nil
	case TypeVerdict:
		return p.verdict()
	}
	return nil, fmt.Errorf("%s: %w", f.Type, ErrMalformed)
}

// parsed holds the known fields of one message, each checked by its rule.
type parsed struct {
	t       Type
	one     map[Tag][]byte
	options []Option
}

func collect(f Frame) (parsed, error) {
	p := parsed{t: f.Type, one: map[Tag][]byte{}}
	layout, known := layouts[f.Type]
	if !known {
		return p, fmt.Errorf("%s: %w", f.Type, ErrMalformed)
	}
	for _, field := range f.Fields {
		where, known := layout[field.Tag]
		if !known {
			continue
		}
		if err := p.add(field, where); err != nil {
			return p, err
		}
	}
	for tag, where := range layout {
		if _, present := p.one[tag]; where == required && !present {
			return p, malformed(f.Type, tag, "missing")
		}
	}
	return p, nil
}

func (p *parsed) add(field Field, where place) error {
	if err := check(p.t, field); err != nil {
		return err
	}
	if where == repeated {
		o, err := parseOption(field.Value)
		p.options = append(p.options, o)
		return err
	}
	if _, twice := p.one[field.Tag]; twice {
		return malformed(p.t, field.Tag, "twice")
	}
	p.one[field.Tag] = field.Value
	return nil
}

func check(t Type, f Field) error {
	r := rules[f.Tag]
	switch {
	case len(f.Value) > r.max:
		return malformed(t, f.Tag, "too long")
	case r.shape <= shapeU64 && len(f.Value) != r.max:
		return malformed(t, f.Tag, "not a number of its width")
	case (r.shape == shapeName || r.shape == shapeText) && bytes.IndexByte(f.Value, 0) >= 0:
		return malformed(t, f.Tag, "holds NUL")
	case r.shape == shapeText && !utf8.Valid(f.Value):
		return malformed(t, f.Tag, "not UTF-8")
	case mayNotBeEmpty[f.Tag] && len(f.Value) == 0:
		return malformed(t, f.Tag, "empty")
	}
	return nil
}

func parseOption(v []byte) (Option, error) {
	if len(v) == 0 || int(v[0]) > len(v)-1 {
		return Option{}, malformed(TypeAsk, TagChoice, "cut short")
	}
	end := 1 + int(v[0])
	id, label := v[1:end], v[end:]
	switch {
	case len(id) == 0 || len(id) > maxOptionID || len(label) > maxOptionLabel:
		return Option{}, malformed(TypeAsk, TagChoice, "id or label of bad length")
	case bytes.IndexByte(v[1:], 0) >= 0 || !utf8.Valid(id) || !utf8.Valid(label):
		return Option{}, malformed(TypeAsk, TagChoice, "not a text")
	}
	return Option{ID: string(id), Label: string(label)}, nil
}

func (p parsed) text(t Tag) string { return string(p.one[t]) }

func (p parsed) u8(t Tag) uint8 {
	if v, ok := p.one[t]; ok {
		return v[0]
	}
	return 0
}

func (p parsed) u32(t Tag) uint32 {
	if v, ok := p.one[t]; ok {
		return binary.BigEndian.Uint32(v)
	}
	return 0
}

func (p parsed) optionalU32(t Tag) *uint32 {
	v, ok := p.one[t]
	if !ok {
		return nil
	}
	n := binary.BigEndian.Uint32(v)
	return &n
}

func (p parsed) flag(t Tag) (bool, error) {
	v := p.u8(t)
	if v > 1 {
		return false, malformed(p.t, t, "neither 0 nor 1")
	}
	return v == 1, nil
}

func (p parsed) hello() (Message, error) {
	h := Hello{
		MinVersion: p.u8(TagVersionMin), MaxVersion: p.u8(TagVersionMax),
		Kind: p.text(TagKind), Locale: p.text(TagLocale), Caps: Caps(p.u32(TagCaps)),
	}
	if h.MinVersion == 0 || h.MaxVersion < h.MinVersion {
		return nil, malformed(p.t, TagVersionMin, "no such range")
	}
	return h, nil
}

func (p parsed) begin() (Message, error) {
	b := Begin{
		Op: Op(p.u8(TagOp)), Scenario: p.text(TagScenario), Service: p.text(TagService), User: p.text(TagUser),
		UID: p.optionalU32(TagUID), SID: p.text(TagSID), RUser: p.text(TagRUser), RUID: p.optionalU32(TagRUID),
		RHost: p.text(TagRHost), TTY: p.text(TagTTY), Flags: Flags(p.u32(TagFlags)), AuthEvent: p.text(TagAuthEvent),
	}
	if b.Op != OpAuthenticate && b.Op != OpAccount {
		return nil, malformed(p.t, TagOp, "no such operation")
	}
	done, err := p.flag(TagFirstFactor)
	if err != nil {
		return nil, err
	}
	b.FirstFactorDone = done
	return b, nil
}

func (p parsed) ask() (Message, error) {
	a := Ask{
		ID: p.u32(TagID), Kind: Kind(p.u8(TagAskKind)), Label: p.text(TagLabel),
		Expiry: p.u32(TagExpiry), Choices: p.options,
	}
	switch {
	case a.Kind < Secret || a.Kind > Touch:
		return nil, malformed(p.t, TagAskKind, "no such kind")
	case (a.Kind == Choice) != (len(a.Choices) > 0):
		return nil, malformed(p.t, TagChoice, "choices do not fit the kind")
	case len(a.Choices) > MaxOptions:
		return nil, malformed(p.t, TagChoice, "too many")
	}
	return a, nil
}

func (p parsed) say() (Message, error) {
	isError, err := p.flag(TagError)
	if err != nil {
		return nil, err
	}
	return Say{Text: p.text(TagText), Error: isError}, nil
}

func (p parsed) verdict() (Message, error) {
	v := Verdict{
		Outcome: Outcome(p.u8(TagOutcome)), Reason: p.text(TagReason), Text: p.text(TagText),
		LoginsLeft: p.optionalU32(TagLoginsLeft), DaysLeft: p.optionalU32(TagDaysLeft), EventID: p.text(TagEventID),
	}
	if until, ok := p.one[TagValidUntil]; ok {
		n := binary.BigEndian.Uint64(until)
		v.ValidUntil = &n
	}
	if v.Outcome > Unavailable {
		return nil, malformed(p.t, TagOutcome, "no such outcome")
	}
	for _, c := range v.Reason {
		if (c < 'a' || c > 'z') && (c < '0' || c > '9') && c != '_' {
			return nil, malformed(p.t, TagReason, "not a code")
		}
	}
	return v, nil
}
