package state

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/gafferpm/gaffer"
)

// historyName is the file of the latest events of each slot.
const historyName = "history.json"

var _ gaffer.Archive = (*Journal)(nil)

// Past implements gaffer.Archive.
func (j *Journal) Past() ([]byte, error) {
	data, err := os.ReadFile(j.history())
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	return data, err
}

// KeepPast implements gaffer.Archive. What was there stays until the new one is on
// the disk.
func (j *Journal) KeepPast(data []byte) (err error) {
	next := j.history() + ".new"
	defer func() {
		if err != nil {
			err = errors.Join(fmt.Errorf("history of slots: %w", err), remove(next))
		}
	}()
	f, err := os.OpenFile(next, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, fileMode)
	if err != nil {
		return err
	}
	_, err = f.Write(data)
	if err = errors.Join(err, f.Sync(), f.Close()); err != nil {
		return err
	}
	if err := os.Rename(next, j.history()); err != nil {
		return err
	}
	return syncDir(filepath.Dir(j.dir))
}

func (j *Journal) history() string { return filepath.Join(filepath.Dir(j.dir), historyName) }

// remove removes a file that may not be there.
func remove(path string) error {
	if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}
