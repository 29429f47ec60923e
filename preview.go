package gaffer

import (
	"bytes"
	"context"
	"encoding/json"
	"maps"
	"slices"
	"strings"
)

// Preview says what adding or updating a template would do now, and does nothing.
// ErrInvalid: it can't be started as it stands.
func (m *Manager) Preview(ctx context.Context, t Template) (Step, error) {
	r, err := newRecipe(t, m.env)
	if err != nil {
		return Step{}, err
	}
	m.mu.Lock()
	k := m.keepers[r.Name]
	m.mu.Unlock()
	step := Step{Op: OpCreate, Name: r.Name}
	if k == nil {
		return step, nil
	}
	err = k.box.do(ctx, func() {
		step.Op, step.Fields = OpKeep, k.recipe.changes(r)
		if len(step.Fields) > 0 {
			step.Op = OpUpdate
		}
		step.Restart = k.live > 0 && k.intent == up && k.recipe.replaces(r)
	})
	return step, err
}

// laterFields are those on which no running process depends.
var laterFields = []string{
	"numprocesses", "priority", "start", "flapping", "backoff", "graceful_timeout", "stop_signal",
	"restart", "success_exit_codes", "max_runtime", "depends_on", "on_loss", "rollout", "on_demand", "idle_timeout",
	"stop_command", "stop_sequence", "hooks",
}

// changes are the fields in which the next recipe differs, as they were written.
func (r *recipe) changes(next *recipe) []FieldChange {
	was, is := fields(&r.Template), fields(&next.Template)
	replaced := r.replaces(next)
	names := maps.Clone(was)
	maps.Copy(names, is)
	var list []FieldChange
	for _, name := range slices.Sorted(maps.Keys(names)) {
		if bytes.Equal(was[name], is[name]) {
			continue
		}
		list = append(list, changesOf(name, was[name], is[name], replaced && !slices.Contains(laterFields, name))...)
		if name == "logs" { // only where it is kept is a matter of the process
			for i := range list {
				list[i].Restart = list[i].Restart && (list[i].Field == "logs.to" || !strings.HasPrefix(list[i].Field, "logs."))
			}
		}
	}
	if len(list) == 0 && r.envSum != next.envSum {
		list = append(list, FieldChange{Field: "env_files", Old: "what was in them", New: "what is in them now", Restart: true})
	}
	return list
}

// changesOf are the changes of one field: of a table, those of its keys.
func changesOf(name string, was, is json.RawMessage, restart bool) []FieldChange {
	var before, after map[string]json.RawMessage
	if json.Unmarshal(orEmpty(was), &before) != nil || json.Unmarshal(orEmpty(is), &after) != nil {
		return []FieldChange{{Field: name, Old: string(was), New: string(is), Restart: restart}}
	}
	keys := maps.Clone(before)
	maps.Copy(keys, after)
	var list []FieldChange
	for _, key := range slices.Sorted(maps.Keys(keys)) {
		if !bytes.Equal(before[key], after[key]) {
			list = append(list, FieldChange{Field: name + "." + key, Old: string(before[key]), New: string(after[key]), Restart: restart})
		}
	}
	if len(list) == 0 { // a table without keys, which was or is not there
		list = append(list, FieldChange{Field: name, Old: string(was), New: string(is), Restart: restart})
	}
	return list
}

// orEmpty reads a field that is not set as an empty table.
func orEmpty(v json.RawMessage) json.RawMessage {
	if v == nil {
		return json.RawMessage("{}")
	}
	return v
}

// fields are those of a template that are set, as in JSON.
func fields(t *Template) map[string]json.RawMessage {
	var set map[string]json.RawMessage
	text, err := json.Marshal(t)
	if err == nil {
		err = json.Unmarshal(text, &set)
	}
	if err != nil {
		panic("gaffer: a template is always JSON: " + err.Error())
	}
	delete(set, "name")
	return set
}
