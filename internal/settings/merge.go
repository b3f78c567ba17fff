package settings

import (
	"bytes"
	"encoding/json"
	"maps"
	"slices"

	"latchkey"
	"latchkey/internal/api"
	"latchkey/internal/policy"
)

// nullable are the settings whose null means something; everywhere else a null
// is a slip.
var nullable = []string{"offline.days", "offline.logins", "hotp.quota", "trust_hours", "log_only_until"}

// A change is one policy document, read but not yet laid over a policy.
type change struct {
	name   string
	fields map[string]any
}

// parse reads one document or a list of documents. Unknown, doubled and
// wrongly cased keys are errors that name the key.
func parse(document []byte) ([]change, error) {
	raw, err := split(document)
	if err != nil {
		return nil, err
	}
	if len(raw) > MaxPolicies {
		return nil, errTooMany
	}
	var out []change
	seen := map[string]bool{}
	for i, r := range raw {
		c, err := parseOne(r)
		if err != nil && len(raw) > 1 {
			err = latchkey.Errorf(latchkey.Invalid, "policy %d: %v", i+1, err)
		}
		if err != nil {
			return nil, err
		}
		if seen[latchkey.FoldName(c.name)] {
			return nil, latchkey.Errorf(latchkey.Invalid, "policy %d has the name of an earlier one", i+1)
		}
		seen[latchkey.FoldName(c.name)] = true
		out = append(out, c)
	}
	if len(out) == 0 {
		return nil, latchkey.Errorf(latchkey.Invalid, "the list of policies is empty")
	}
	return out, nil
}

func split(document []byte) ([]json.RawMessage, error) {
	trimmed := bytes.TrimLeft(document, " \t\r\n")
	if !bytes.HasPrefix(trimmed, []byte("[")) {
		return []json.RawMessage{trimmed}, nil
	}
	var list []json.RawMessage
	if err := api.Decode(trimmed, &list); err != nil {
		return nil, err
	}
	return list, nil
}

func parseOne(raw json.RawMessage) (change, error) {
	if !bytes.HasPrefix(bytes.TrimLeft(raw, " \t\r\n"), []byte("{")) {
		return change{}, latchkey.Errorf(latchkey.Invalid, "a policy is a JSON object")
	}
	var form latchkey.Policy
	if err := api.Decode(raw, &form); err != nil {
		return change{}, err
	}
	fields, err := object(raw)
	if err != nil {
		return change{}, err
	}
	if key := stray(fields, ""); key != "" {
		return change{}, latchkey.Errorf(latchkey.Invalid, "%s must not be null", key)
	}
	if form.Name == "" {
		return change{}, latchkey.Errorf(latchkey.Invalid, "name: a policy needs a name")
	}
	if err := latchkey.CheckName(form.Name); err != nil {
		return change{}, latchkey.Errorf(latchkey.Invalid, "name: %v", err)
	}
	return change{form.Name, fields}, nil
}

// stray returns the first null that means nothing, by its key.
func stray(fields map[string]any, under string) string {
	for _, k := range slices.Sorted(maps.Keys(fields)) {
		key := under + k
		switch v := fields[k].(type) {
		case nil:
			if !slices.Contains(nullable, key) {
				return key
			}
		case map[string]any:
			if s := stray(v, key+"."); s != "" {
				return s
			}
		case []any:
			if slices.Contains(v, nil) {
				return key
			}
		}
	}
	return ""
}

// merge lays a document over a policy: objects are merged, lists replaced,
// nulls kept. The result is valid, or the error names the setting.
func merge(base latchkey.Policy, c change) (latchkey.Policy, error) {
	var none latchkey.Policy
	onto, err := asObject(base)
	if err != nil {
		return none, err
	}
	newScenarios(onto, c.fields)
	overlay(onto, c.fields)
	onto["name"] = base.Name
	merged, err := json.Marshal(onto)
	if err != nil {
		return none, err
	}
	var p latchkey.Policy
	if err := api.Decode(merged, &p); err != nil {
		return none, err
	}
	p = tidy(p)
	return p, policy.Validate(p)
}

// newScenarios gives each scenario that only the document names the rules that
// hold for scenarios nobody names. Without that, a document that sets just the
// grace of a scenario would silently switch its question off.
func newScenarios(onto, fields map[string]any) {
	have, ok := onto["scenarios"].(map[string]any)
	more, given := fields["scenarios"].(map[string]any)
	if !ok || !given {
		return
	}
	for s := range more {
		if _, known := have[s]; !known {
			have[s] = map[string]any{"ask": true, "grace_minutes": 0}
		}
	}
}

func overlay(onto, with map[string]any) {
	for k, v := range with {
		inner, isObject := v.(map[string]any)
		old, wasObject := onto[k].(map[string]any)
		if isObject && wasObject {
			overlay(old, inner)
			continue
		}
		onto[k] = v
	}
}

// tidy makes the JSON of a policy free of null lists.
func tidy(p latchkey.Policy) latchkey.Policy {
	p.Factors.Online = append([]latchkey.Kind{}, p.Factors.Online...)
	p.Factors.Offline = append([]latchkey.Kind{}, p.Factors.Offline...)
	p.Offline.SpendOn = append([]latchkey.Scenario{}, p.Offline.SpendOn...)
	if p.Scenarios == nil {
		p.Scenarios = map[latchkey.Scenario]latchkey.ScenarioRules{}
	}
	if p.LogOnly != nil {
		at := p.LogOnly.UTC()
		p.LogOnly = &at
	}
	return p
}

func asObject(v any) (map[string]any, error) {
	raw, err := json.Marshal(v)
	if err != nil {
		return nil, err
	}
	return object(raw)
}

// object keeps numbers as they are written: a float64 would round large ones.
func object(raw []byte) (map[string]any, error) {
	d := json.NewDecoder(bytes.NewReader(raw))
	d.UseNumber()
	var out map[string]any
	if err := d.Decode(&out); err != nil {
		return nil, err
	}
	return out, nil
}
