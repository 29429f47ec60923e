package main

import (
	"context"
	"time"

	"github.com/gafferpm/gaffer/api"
	"github.com/gafferpm/gaffer/config"
	"github.com/gafferpm/gaffer/forward"
)

func (d *daemon) newForwards() (*forward.App, error) {
	return forward.New(destinationsOf(d.conf.Forwards), &letters{d.state.Bucket("forwards")}, forward.Options{
		Logger: d.log, Version: version(), Host: d.conf.Settings.Node, Drain: time.Duration(d.conf.Settings.DrainTimeout),
	})
}

// destinationsOf are the forwards of the configuration as those who send want them.
func destinationsOf(all []config.Forward) []forward.Destination {
	list := make([]forward.Destination, 0, len(all))
	for _, f := range all {
		headers := map[string]string{}
		for name, value := range f.Headers {
			headers[name] = value.Reveal()
		}
		list = append(list, forward.Destination{
			Name: f.Name, Type: forward.Type(f.Type), URL: f.URL, Target: f.Target, Streams: f.Streams, Labels: f.Labels,
			Headers: headers, Facility: f.Facility, Timeout: time.Duration(f.Timeout), CA: f.CA,
		})
	}
	return list
}

// forwards are the forwards as the API tells of them.
type forwards struct{ app *forward.App }

var _ api.Forwards = (*forwards)(nil)

func (f *forwards) List(context.Context) ([]api.Forward, error) {
	list := []api.Forward{}
	for _, s := range f.app.List() {
		list = append(list, api.Forward{
			Name: s.Name, Type: string(s.Type), URL: s.URL, Target: s.Target, Streams: s.Streams, Sent: s.Sent, Lost: s.Lost,
			LostBytes: s.LostBytes, Behind: s.Behind, LastError: s.LastError, LastErrorAt: s.LastErrorAt,
		})
	}
	return list, nil
}
