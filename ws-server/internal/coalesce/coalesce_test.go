package coalesce_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"parley.chat/ws-server/internal/coalesce"
)

// While a read is running, callers wait and share the next one. Every caller gets the answers to
// its own questions.
func TestGroup_combinesConcurrentCallers(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var mu sync.Mutex
		var sizes []int
		g := coalesce.New(func(_ context.Context, questions []int) ([]string, error) {
			mu.Lock()
			sizes = append(sizes, len(questions))
			mu.Unlock()
			time.Sleep(time.Second)
			answers := make([]string, len(questions))
			for i, q := range questions {
				answers[i] = fmt.Sprint("answer ", q)
			}
			return answers, nil
		}, coalesce.Config{MaxReads: 1, MaxBatch: 60})
		var all sync.WaitGroup
		for i := range 50 {
			all.Go(func() {
				questions := []int{i, 1000, i + 100}
				answers, err := g.AskAll(t.Context(), questions)
				if want := []string{fmt.Sprint("answer ", i), "answer 1000", fmt.Sprint("answer ", i+100)}; err != nil || !slices.Equal(answers, want) {
					t.Errorf("%v, %v; want %v", answers, err, want)
				}
			})
		}
		all.Wait()
		g.Wait()
		// First one caller, then twenty callers that share a read. All of them have one question in
		// common.
		if want := []int{3, 41, 41, 19}; !slices.Equal(sizes, want) {
			t.Errorf("reads of %v questions, want %v", sizes, want)
		}
	})
}

var errBad = errors.New("bad question")

// A question that cannot be answered causes an error only for the caller that asked it.
func TestGroup_failsOnlyTheAffectedCaller(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		g := coalesce.New(func(_ context.Context, questions []int) ([]int, error) {
			time.Sleep(time.Second)
			if slices.Contains(questions, 7) {
				return nil, errBad
			}
			return questions, nil
		}, coalesce.Config{})
		var all sync.WaitGroup
		for i := range 20 {
			all.Go(func() {
				answer, err := g.Ask(t.Context(), i)
				if i == 7 && !errors.Is(err, errBad) || i != 7 && (err != nil || answer != i) {
					t.Errorf("%d: %d, %v", i, answer, err)
				}
			})
		}
		all.Wait()
		g.Wait()
	})
}

// A caller that gives up returns early, and its questions are not read. The others get their
// answers.
func TestGroup_callerMayGiveUp(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		g := coalesce.New(func(_ context.Context, questions []int) ([]int, error) {
			time.Sleep(time.Second)
			if slices.Contains(questions, 2) {
				t.Error("a read for a caller that has given up")
			}
			return questions, nil
		}, coalesce.Config{MaxReads: 1})
		var all sync.WaitGroup
		all.Go(func() { _, _ = g.Ask(t.Context(), 1) })
		synctest.Wait()
		ctx, cancel := context.WithTimeout(t.Context(), time.Millisecond)
		defer cancel()
		all.Go(func() {
			if answer, err := g.Ask(t.Context(), 3); answer != 3 || err != nil {
				t.Errorf("%d, %v", answer, err)
			}
		})
		if _, err := g.Ask(ctx, 2); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("%v", err)
		}
		all.Wait()
		g.Wait()
	})
}
