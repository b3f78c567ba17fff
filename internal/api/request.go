package api

import (
	"bytes"
	"encoding/json"
	"reflect"
	"strconv"
	"strings"

	"latchkey"
)

// DecodeRequest reads the body of an administrator's request. It is as strict as
// Decode and refuses what a form would, too: a required field that is missing, a
// null, a number below the field's minimum, and text that no database takes.
// What a field demands, its Go type and tags say, from which the OpenAPI
// document is made as well: required is what has no omitempty.
//
// A json.RawMessage is looked at for text only: its reader knows its nulls.
func DecodeRequest(data []byte, v any) error {
	if err := Decode(data, v); err != nil {
		return err
	}
	d := json.NewDecoder(bytes.NewReader(data))
	d.UseNumber()
	var sent any
	err := d.Decode(&sent)
	if err == nil {
		err = complete(reflect.TypeOf(v).Elem(), sent, "the document", "")
	}
	if err != nil {
		reflect.ValueOf(v).Elem().SetZero() // half a document is no document
	}
	return err
}

// complete checks what was sent for a value of type t, whose name is given;
// limits are the tags of its field.
func complete(t reflect.Type, sent any, name string, limits reflect.StructTag) error {
	for t != nil && t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	if t == reflect.TypeFor[json.RawMessage]() {
		t = nil
	}
	switch v := sent.(type) {
	case nil:
		if t != nil {
			return latchkey.Errorf(latchkey.Invalid, "%s must not be null", name).WithHint("leave it out, or give a value")
		}
	case string:
		if strings.IndexByte(v, 0) >= 0 {
			return latchkey.Errorf(latchkey.Invalid, "%s holds NUL", name)
		}
	case json.Number:
		return atLeast(v, name, limits.Get("minimum"))
	case []any:
		return items(t, v, name)
	case map[string]any:
		return members(t, v, name)
	}
	return nil
}

func atLeast(n json.Number, name, minimum string) error {
	if minimum == "" {
		return nil
	}
	least, err := strconv.ParseInt(minimum, 10, 64)
	if err != nil {
		return err // a slip in the source
	}
	if i, err := n.Int64(); err == nil && i < least { // above int64 it is not below
		return latchkey.Errorf(latchkey.Invalid, "%s must be at least %d", name, least).WithHint("without it the default holds")
	}
	return nil
}

func items(t reflect.Type, sent []any, name string) error {
	var item reflect.Type
	if t != nil && t.Kind() == reflect.Slice {
		item = t.Elem()
	}
	for i, one := range sent {
		if err := complete(item, one, name+": item "+strconv.Itoa(i+1), ""); err != nil {
			return err
		}
	}
	return nil
}

func members(t reflect.Type, sent map[string]any, name string) error {
	fields := map[string]reflect.StructField{}
	if t != nil && t.Kind() == reflect.Struct {
		for _, f := range reflect.VisibleFields(t) {
			key, more, _ := strings.Cut(f.Tag.Get("json"), ",")
			fields[key] = f
			if _, given := sent[key]; !given && key != "" && !strings.Contains(more, "omit") {
				return latchkey.Errorf(latchkey.Invalid, "%s is missing", key)
			}
		}
	}
	for key, one := range sent {
		f, known := fields[key]
		if !known { // a key of an object that is not described: it may be anything
			key = name
		}
		if err := complete(f.Type, one, key, f.Tag); err != nil {
			return err
		}
	}
	return nil
}
