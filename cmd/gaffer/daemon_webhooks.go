package main

import (
	"context"
	"time"

	"github.com/gafferpm/gaffer/api"
	"github.com/gafferpm/gaffer/config"
	"github.com/gafferpm/gaffer/state"
	"github.com/gafferpm/gaffer/webhook"
)

func (d *daemon) newWebhooks() (*webhook.App, error) {
	return webhook.New(hooksOf(d.conf.Webhooks), &letters{d.state.Bucket("webhooks")}, webhook.Options{
		Logger: d.log, Version: version(), Drain: time.Duration(d.conf.Settings.DrainTimeout),
	})
}

// hooksOf are the webhooks of the configuration as those who post want them.
func hooksOf(all []config.Webhook) []webhook.Hook {
	hooks := make([]webhook.Hook, 0, len(all))
	for _, w := range all {
		headers := map[string]string{}
		for name, value := range w.Headers {
			headers[name] = value.Reveal()
		}
		hooks = append(hooks, webhook.Hook{
			Name: w.Name, URL: w.URL, Target: w.Target, Kinds: w.Kinds, Secret: w.Secret.Reveal(),
			Timeout: time.Duration(w.Timeout), MaxAttempts: w.MaxAttempts, MaxAge: time.Duration(w.MaxAge),
			Headers: headers, CA: w.CA,
		})
	}
	return hooks
}

// letters are the events that wait to be posted, in the state directory.
type letters struct{ bucket *state.Bucket }

var _ webhook.Queue = (*letters)(nil)

func (l *letters) Range(f func(key string, value []byte) error) error { return l.bucket.Range("", f) }

func (l *letters) Update(changes map[string][]byte) error {
	return l.bucket.Update(func(tx *state.Tx) error {
		for key, value := range changes {
			var err error
			if value == nil {
				err = tx.Delete(key)
			} else {
				err = tx.Put(key, value)
			}
			if err != nil {
				return err
			}
		}
		return nil
	})
}

// webhooks are the webhooks as the API tells of them.
type webhooks struct{ app *webhook.App }

var _ api.Webhooks = (*webhooks)(nil)

func (w *webhooks) List(context.Context) ([]api.Webhook, error) {
	list := []api.Webhook{}
	for _, s := range w.app.List() {
		one := api.Webhook{
			Name: s.Name, URL: s.URL, Target: s.Target, Kinds: s.Kinds, Pending: s.Pending,
			Delivered: s.Delivered, Failed: s.Failed, LastError: s.LastError, Dead: []api.DeadLetter{},
		}
		for _, l := range s.Dead {
			one.Dead = append(one.Dead, api.DeadLetter(l))
		}
		list = append(list, one)
	}
	return list, nil
}

func (w *webhooks) Retry(_ context.Context, name string) error {
	_, err := w.app.Retry(name)
	return err
}
