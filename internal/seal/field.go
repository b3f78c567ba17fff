package seal

import (
	"fmt"
	"reflect"
	"strings"
	"sync"
)

// fieldCache maps a struct's reflect.Type to its map of key to field type.
var fieldCache sync.Map

// fieldsOf returns the keys that encoding/json knows for a struct, in their
// exact case, with the types of their fields.
func fieldsOf(t reflect.Type) (map[string]reflect.Type, error) {
	if have, ok := fieldCache.Load(t); ok {
		return have.(map[string]reflect.Type), nil
	}
	fields, err := collect(t)
	if err != nil {
		return nil, err
	}
	fieldCache.Store(t, fields)
	return fields, nil
}

// collect walks a struct as encoding/json does: a field hides those of the same
// key in embedded structs. Where two embedded structs share a key encoding/json
// would drop both; here it is an error, because nobody means it.
func collect(t reflect.Type) (map[string]reflect.Type, error) {
	own, promoted := map[string]reflect.Type{}, map[string]reflect.Type{}
	for i := range t.NumField() {
		f := t.Field(i)
		name, skip := keyOf(f)
		if skip {
			continue
		}
		if name != "" {
			if err := add(own, name, f.Type, t); err != nil {
				return nil, err
			}
			continue
		}
		inner, err := collect(structOf(f.Type))
		if err != nil {
			return nil, err
		}
		for key, of := range inner {
			if err := add(promoted, key, of, t); err != nil {
				return nil, err
			}
		}
	}
	for key, of := range own {
		promoted[key] = of
	}
	return promoted, nil
}

func add(fields map[string]reflect.Type, key string, of, in reflect.Type) error {
	if _, twice := fields[key]; twice {
		return fmt.Errorf("%s has two fields for key %q", in, key)
	}
	fields[key] = of
	return nil
}

// keyOf returns the key of a field; none for an embedded struct whose own
// fields count instead; skip for a field that JSON does not see.
func keyOf(f reflect.StructField) (name string, skip bool) {
	tag := f.Tag.Get("json")
	name, _, _ = strings.Cut(tag, ",")
	embedded := f.Anonymous && structOf(f.Type) != nil
	switch {
	case tag == "-" || !f.IsExported() && !embedded:
		return "", true
	case name != "" || embedded:
		return name, false
	}
	return f.Name, false
}

// structOf returns the struct that t is or points to, or nil.
func structOf(t reflect.Type) reflect.Type {
	if t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	if t.Kind() != reflect.Struct {
		return nil
	}
	return t
}
