package metrics

import (
	"math"
	"slices"
	"sync/atomic"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"
)

func newGauge(factory promauto.Factory, name, help string) prometheus.Gauge {
	return factory.NewGauge(prometheus.GaugeOpts{Name: name, Help: help})
}

func newCounter(factory promauto.Factory, name, help string) prometheus.Counter {
	return factory.NewCounter(prometheus.CounterOpts{Name: name, Help: help})
}

// newHistogram returns a classic histogram. Only scrapers that use protobuf see
// a native one.
func newHistogram(factory promauto.Factory, name, help string, buckets ...float64) prometheus.Histogram {
	return factory.NewHistogram(prometheus.HistogramOpts{Name: name, Help: help, Buckets: buckets})
}

// counterSet is a counter with one label and a closed set of values.
type counterSet[L ~string] struct {
	vec   *prometheus.CounterVec
	known []L
}

func newCounterSet[L ~string](factory promauto.Factory, name, help, label string, known []L) counterSet[L] {
	s := counterSet[L]{
		vec:   factory.NewCounterVec(prometheus.CounterOpts{Name: name, Help: help}, []string{label}),
		known: slices.Clone(known),
	}
	for _, value := range known {
		s.vec.WithLabelValues(string(value))
	}
	return s
}

func (s counterSet[L]) inc(value L) {
	if !slices.Contains(s.known, value) {
		value = other
	}
	s.vec.WithLabelValues(string(value)).Inc()
}

// pairSet is a counter with two labels and a closed set of pairs of values.
type pairSet struct {
	vec   *prometheus.CounterVec
	known [][2]string
}

func newPairSet(factory promauto.Factory, name, help string, labels [2]string, known [][2]string) pairSet {
	s := pairSet{
		vec:   factory.NewCounterVec(prometheus.CounterOpts{Name: name, Help: help}, labels[:]),
		known: slices.Clone(known),
	}
	for _, pair := range known {
		s.vec.WithLabelValues(pair[0], pair[1])
	}
	return s
}

func (s pairSet) inc(first, second string) {
	if !slices.Contains(s.known, [2]string{first, second}) {
		first, second = other, other
	}
	s.vec.WithLabelValues(first, second).Inc()
}

// stateSet is the gauge of the machine's state. It is one collector and not a
// vector of gauges, because a scrape between the updates of two gauges would
// see two states at 1, or none. Every scrape sees exactly one.
type stateSet struct {
	desc    *prometheus.Desc
	known   []string
	current atomic.Pointer[string]
}

func newStateSet(states []string) *stateSet {
	s := &stateSet{known: slices.Clone(states), desc: prometheus.NewDesc("ota_update_state",
		"State of the update machine: 1 for the state it is in, 0 for the others.", []string{"state"}, nil)}
	if len(s.known) > 0 {
		s.current.Store(&s.known[0])
	}
	return s
}

func (s *stateSet) set(state string) {
	if !slices.Contains(s.known, state) {
		state = other
	}
	s.current.Store(&state)
}

// Describe implements [prometheus.Collector].
func (s *stateSet) Describe(ch chan<- *prometheus.Desc) { ch <- s.desc }

// Collect implements [prometheus.Collector].
func (s *stateSet) Collect(ch chan<- prometheus.Metric) {
	current := s.current.Load()
	if current == nil {
		return
	}
	for _, state := range s.known {
		value := 0.0
		if state == *current {
			value = 1
		}
		ch <- prometheus.MustNewConstMetric(s.desc, prometheus.GaugeValue, value, state)
	}
	if *current == other {
		ch <- prometheus.MustNewConstMetric(s.desc, prometheus.GaugeValue, 1, other)
	}
}

// sourceGauge is a gauge that is read from its source at each scrape.
type sourceGauge struct {
	source atomic.Pointer[func() float64]
}

func newSourceGauge(factory promauto.Factory, name, help string) *sourceGauge {
	s := &sourceGauge{}
	factory.NewGaugeFunc(prometheus.GaugeOpts{Name: name, Help: help}, s.value)
	return s
}

// counted is value of a source that counts: without one it is 0.
func (s *sourceGauge) counted() float64 {
	if s.source.Load() == nil {
		return 0
	}
	return s.value()
}

// value returns NaN and not 0 without a source: an alert must not fire for a
// value that was not measured.
func (s *sourceGauge) value() float64 {
	source := s.source.Load()
	if source == nil {
		return math.NaN()
	}
	return (*source)()
}
