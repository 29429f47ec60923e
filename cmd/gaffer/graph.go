package main

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"github.com/gafferpm/gaffer"
)

// graphFlags are the flags of gaffer graph.
type graphFlags struct {
	fileFlags
	dot    bool
	asJSON bool
}

// graphNode is a template in a graph.
type graphNode struct {
	Name   string       `json:"name"`
	State  gaffer.State `json:"state,omitempty"` // "" when it is only in a file
	Reason string       `json:"reason,omitempty"`
	Needs  []graphEdge  `json:"depends_on"`
}

// graphEdge is what a template depends on.
type graphEdge struct {
	Name      string           `json:"name"`
	Condition gaffer.Condition `json:"condition"`
}

func newGraph() *cobra.Command {
	var f graphFlags
	cmd := &cobra.Command{
		Use:   "graph [flags] [TARGET...]",
		Short: "Draw what depends on what",
		Long: `Draw the templates of the daemon with what depends on them, and their states; with
--config those of a file, without asking a daemon. TARGETs choose templates; what
they depend on, and what depends on them, is drawn with them.

With --dot it is text for Graphviz: gaffer graph --dot | dot -Tsvg > graph.svg

Exit status: 0, or 1 for an error.`,
		Example: `  gaffer graph
  gaffer graph -f gaffer.toml
  gaffer graph --dot web | dot -Tsvg > web.svg`,
		ValidArgsFunction: completeTargets,
		RunE:              f.run,
	}
	f.add(cmd)
	flags := cmd.Flags()
	flags.BoolVar(&f.dot, "dot", false, "write the DOT language of Graphviz")
	flags.BoolVar(&f.asJSON, "json", false, "print a list of templates and what they depend on")
	cmd.MarkFlagsMutuallyExclusive("dot", "json")
	return cmd
}

func (f *graphFlags) run(cmd *cobra.Command, args []string) error {
	nodes, err := f.nodes(cmd)
	if err != nil {
		return err
	}
	if nodes, err = near(nodes, args); err != nil {
		return err
	}
	s := newScreen(cmd)
	switch {
	case f.asJSON:
		return s.json(nodes)
	case f.dot:
		_, _ = s.WriteString(dotOf(nodes))
	case len(nodes) == 0:
		note("no templates")
	default:
		drawTrees(s, nodes)
	}
	return s.Flush()
}

// nodes are the templates of the file, or of the daemon.
func (f *graphFlags) nodes(cmd *cobra.Command) ([]graphNode, error) {
	if f.path != "" {
		file, err := f.load(cmd, nil)
		if err != nil {
			return nil, err
		}
		nodes := make([]graphNode, len(file.Templates))
		for i, t := range file.Templates {
			nodes[i] = nodeOf(t)
		}
		return nodes, nil
	}
	c, err := connect(cmd)
	if err != nil {
		return nil, err
	}
	infos, err := c.List(context.WithoutCancel(cmd.Context()), gaffer.All)
	if err != nil {
		return nil, err
	}
	nodes := make([]graphNode, len(infos))
	for i, info := range infos {
		nodes[i] = nodeOf(info.Template)
		nodes[i].State, nodes[i].Reason = info.Status.State, info.Status.Reason
	}
	return nodes, nil
}

func nodeOf(t gaffer.Template) graphNode {
	n := graphNode{Name: t.Name, Needs: []graphEdge{}}
	for _, name := range slices.Sorted(maps.Keys(t.DependsOn)) {
		n.Needs = append(n.Needs, graphEdge{name, t.DependsOn[name]})
	}
	return n
}

// near are the nodes that targets choose, and all that they are connected with along the
// arrows, either way.
func near(nodes []graphNode, targets []string) ([]graphNode, error) {
	if len(targets) == 0 {
		return nodes, nil
	}
	needs, needed := map[string][]string{}, map[string][]string{}
	for _, n := range nodes {
		for _, e := range n.Needs {
			needs[n.Name] = append(needs[n.Name], e.Name)
			needed[e.Name] = append(needed[e.Name], n.Name)
		}
	}
	shown := map[string]bool{}
	for _, text := range targets {
		target, found := gaffer.Target(text), false
		if err := target.Check(); err != nil {
			return nil, &usageError{err}
		}
		for _, n := range nodes {
			if target.Matches(n.Name, 0, 0) {
				found = true
				reach(n.Name, needs, shown)
				reach(n.Name, needed, shown)
			}
		}
		if !found {
			return nil, fmt.Errorf("%s: %w", text, gaffer.ErrNotFound)
		}
	}
	return slices.DeleteFunc(nodes, func(n graphNode) bool { return !shown[n.Name] }), nil
}

// reach marks a name and all that can be reached from it.
func reach(name string, arrows map[string][]string, seen map[string]bool) {
	list, visited := []string{name}, map[string]bool{}
	for len(list) > 0 {
		name, list = list[len(list)-1], list[:len(list)-1]
		if visited[name] {
			continue
		}
		visited[name], seen[name] = true, true
		list = append(list, arrows[name]...)
	}
}

// dotOf is a graph in the DOT language. An arrow goes from what is needed to what waits
// for it, as time does.
func dotOf(nodes []graphNode) string {
	var b strings.Builder
	b.WriteString("digraph gaffer {\n\trankdir=LR;\n\tnode [shape=box, style=\"rounded,filled\", fillcolor=white, fontname=\"sans-serif\"];\n\tedge [fontname=\"sans-serif\", fontsize=10];\n")
	for _, n := range nodes {
		label, fill := n.Name, ""
		if n.State != "" {
			label += "\n" + string(n.State)
			fill = ", fillcolor=\"" + dotColor(n.State) + "\""
		}
		fmt.Fprintf(&b, "\t%s [label=%s%s];\n", dotQuoted(n.Name), dotQuoted(label), fill)
	}
	for _, n := range nodes {
		for _, e := range n.Needs {
			fmt.Fprintf(&b, "\t%s -> %s [label=%s];\n", dotQuoted(e.Name), dotQuoted(n.Name), dotQuoted(string(e.Condition)))
		}
	}
	b.WriteString("}\n")
	return b.String()
}

func dotQuoted(s string) string {
	return `"` + strings.NewReplacer(`\`, `\\`, `"`, `\"`, "\n", `\n`).Replace(s) + `"`
}

func dotColor(state gaffer.State) string {
	switch stateColor(state) {
	case green:
		return "#d7f5d7"
	case yellow:
		return "#fff3c4"
	case red:
		return "#ffd6d6"
	}
	return "#eeeeee"
}

// drawTrees draws what depends on what as trees: below each template are those that wait
// for it. One that waits for several is drawn whole where it comes first.
func drawTrees(s *screen, nodes []graphNode) {
	d := trees{screen: s, byName: map[string]*graphNode{}, waiting: map[string][]graphEdge{}, drawn: map[string]bool{}}
	for i := range nodes {
		n := &nodes[i]
		d.byName[n.Name] = n
		for _, e := range n.Needs {
			d.waiting[e.Name] = append(d.waiting[e.Name], graphEdge{n.Name, e.Condition})
		}
	}
	for _, n := range nodes {
		needed := slices.ContainsFunc(n.Needs, func(e graphEdge) bool { return d.byName[e.Name] != nil })
		if !needed {
			d.draw(graphEdge{Name: n.Name}, "", "")
		}
	}
}

// trees is a drawing in progress.
type trees struct {
	*screen
	byName  map[string]*graphNode
	waiting map[string][]graphEdge // who waits for each name
	drawn   map[string]bool
}

// draw draws a template behind front, and what waits for it below, behind below.
func (d *trees) draw(e graphEdge, front, below string) {
	n := d.byName[e.Name]
	d.paint(front, faint)
	d.paint(n.Name, bold)
	if e.Condition != "" {
		d.paint(" when "+string(e.Condition), faint)
	}
	if n.State != "" {
		d.paint("  ", plain)
		d.paint(string(n.State), stateColor(n.State))
	}
	again := d.drawn[n.Name] && len(d.waiting[n.Name]) > 0
	switch {
	case again:
		d.paint(" (above)", faint)
	case n.Reason != "":
		d.paint(": "+n.Reason, plain)
	}
	if len(n.Needs) > 1 {
		d.paint(" ("+strconv.Itoa(len(n.Needs))+" conditions)", faint)
	}
	_ = d.WriteByte('\n')
	if again {
		return
	}
	d.drawn[n.Name] = true
	list := d.waiting[n.Name]
	for i, w := range list {
		if i == len(list)-1 {
			d.draw(w, below+"└─ ", below+"   ")
			continue
		}
		d.draw(w, below+"├─ ", below+"│  ")
	}
}
