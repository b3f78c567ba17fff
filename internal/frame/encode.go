package frame

import "encoding/binary"

// A builder collects fields; empty optional fields are left out.
type builder struct{ fields []Field }

func (b *builder) u8(t Tag, v uint8) { b.fields = append(b.fields, Field{t, []byte{v}}) }

func (b *builder) u32(t Tag, v uint32) {
	b.fields = append(b.fields, Field{t, binary.BigEndian.AppendUint32(nil, v)})
}

func (b *builder) optionalU32(t Tag, v *uint32) {
	if v != nil {
		b.u32(t, *v)
	}
}

func (b *builder) flag(t Tag, v bool) {
	if v {
		b.u8(t, 1)
	}
}

func (b *builder) text(t Tag, v string) {
	if v != "" {
		b.fields = append(b.fields, Field{t, []byte(v)})
	}
}

// done checks what was built with the rules that the other side will apply.
func (b *builder) done(t Type) (Frame, error) {
	f := Frame{Type: t, Fields: b.fields}
	if _, err := Parse(f); err != nil {
		return Frame{}, err
	}
	return f, nil
}

// Encode implements Message.
func (h Hello) Encode() (Frame, error) {
	var b builder
	b.u8(TagVersionMin, h.MinVersion)
	b.u8(TagVersionMax, h.MaxVersion)
	b.text(TagKind, h.Kind)
	b.text(TagLocale, h.Locale)
	if h.Caps != 0 {
		b.u32(TagCaps, uint32(h.Caps))
	}
	return b.done(TypeHello)
}

// Encode implements Message.
func (m Begin) Encode() (Frame, error) {
	var b builder
	b.u8(TagOp, uint8(m.Op))
	b.text(TagScenario, m.Scenario)
	b.text(TagService, m.Service)
	b.text(TagUser, m.User)
	b.optionalU32(TagUID, m.UID)
	b.text(TagSID, m.SID)
	b.text(TagRUser, m.RUser)
	b.optionalU32(TagRUID, m.RUID)
	b.text(TagRHost, m.RHost)
	b.text(TagTTY, m.TTY)
	if m.Flags != 0 {
		b.u32(TagFlags, uint32(m.Flags))
	}
	b.flag(TagFirstFactor, m.FirstFactorDone)
	b.text(TagAuthEvent, m.AuthEvent)
	return b.done(TypeBegin)
}

// Encode implements Message. The frame holds a copy of the value: Wipe it.
func (a Answer) Encode() (Frame, error) {
	var b builder
	b.u32(TagID, a.ID)
	b.fields = append(b.fields, Field{TagValue, append([]byte(nil), a.Value...)})
	return b.done(TypeAnswer)
}

// Encode implements Message.
func (Cancel) Encode() (Frame, error) { return Frame{Type: TypeCancel}, nil }

// Encode implements Message.
func (a Ask) Encode() (Frame, error) {
	var b builder
	b.u32(TagID, a.ID)
	b.u8(TagAskKind, uint8(a.Kind))
	b.text(TagLabel, a.Label)
	if a.Expiry != 0 {
		b.u32(TagExpiry, a.Expiry)
	}
	for _, o := range a.Choices {
		// The length byte of an over-long id wraps; the limit is checked on both parts here.
		if len(o.ID) > maxOptionID {
			return Frame{}, malformed(TypeAsk, TagChoice, "id too long")
		}
		b.fields = append(b.fields, Field{TagChoice, append([]byte{byte(len(o.ID))}, o.ID+o.Label...)})
	}
	return b.done(TypeAsk)
}

// Encode implements Message.
func (s Say) Encode() (Frame, error) {
	var b builder
	b.fields = append(b.fields, Field{TagText, []byte(s.Text)})
	b.flag(TagError, s.Error)
	return b.done(TypeSay)
}

// Encode implements Message.
func (t Tick) Encode() (Frame, error) {
	var b builder
	if t.Version != 0 {
		b.u8(TagVersion, t.Version)
	}
	return b.done(TypeTick)
}

// Encode implements Message.
func (v Verdict) Encode() (Frame, error) {
	var b builder
	b.u8(TagOutcome, uint8(v.Outcome))
	b.text(TagReason, v.Reason)
	b.text(TagText, v.Text)
	b.optionalU32(TagLoginsLeft, v.LoginsLeft)
	b.optionalU32(TagDaysLeft, v.DaysLeft)
	if v.ValidUntil != nil {
		b.fields = append(b.fields, Field{TagValidUntil, binary.BigEndian.AppendUint64(nil, *v.ValidUntil)})
	}
	b.text(TagEventID, v.EventID)
	return b.done(TypeVerdict)
}
