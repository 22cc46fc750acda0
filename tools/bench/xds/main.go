// An xDS server to measure beside namerd: it watches EndpointSlices and serves them as endpoint assignments, incremental
// (delta EDS), with the linear cache of go-control-plane. One assignment a Service, named like it.
//
// Comes in: lists and watches of an API server over plain HTTP. Goes out: gRPC to any number of clients, and on standard
// output `listening ADDR` once the first list is in the cache. Made for measuring: it has no TLS and ends when its watch ends.
package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"log"
	"net"
	"net/http"
	"time"

	core "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	endpoint "github.com/envoyproxy/go-control-plane/envoy/config/endpoint/v3"
	eds "github.com/envoyproxy/go-control-plane/envoy/service/endpoint/v3"
	"github.com/envoyproxy/go-control-plane/pkg/cache/types"
	"github.com/envoyproxy/go-control-plane/pkg/cache/v3"
	"github.com/envoyproxy/go-control-plane/pkg/resource/v3"
	"github.com/envoyproxy/go-control-plane/pkg/server/v3"
	"google.golang.org/grpc"
	"google.golang.org/grpc/keepalive"
)

const path = "/apis/discovery.k8s.io/v1/endpointslices"

// slice is what is read of an EndpointSlice.
type slice struct {
	Metadata struct {
		Name            string            `json:"name"`
		ResourceVersion string            `json:"resourceVersion"`
		Labels          map[string]string `json:"labels"`
	} `json:"metadata"`
	Endpoints []struct {
		Addresses  []string `json:"addresses"`
		Conditions struct {
			Ready *bool `json:"ready"`
		} `json:"conditions"`
	} `json:"endpoints"`
	Ports []struct {
		Port uint32 `json:"port"`
	} `json:"ports"`
}

func (s *slice) service() string {
	return s.Metadata.Labels["kubernetes.io/service-name"]
}

// model keeps the slices of each Service and the cache up to date with them. One goroutine uses it.
type model struct {
	cache  *cache.LinearCache
	slices map[string]map[string]*slice
}

func (m *model) put(s *slice) {
	of := m.slices[s.service()]
	if of == nil {
		of = map[string]*slice{}
		m.slices[s.service()] = of
	}
	of[s.Metadata.Name] = s
}

// assignment merges the slices of a Service.
func (m *model) assignment(service string) *endpoint.ClusterLoadAssignment {
	var all []*endpoint.LbEndpoint
	for _, s := range m.slices[service] {
		if len(s.Ports) == 0 {
			continue
		}
		for _, e := range s.Endpoints {
			if len(e.Addresses) == 0 || (e.Conditions.Ready != nil && !*e.Conditions.Ready) {
				continue
			}
			all = append(all, lbEndpoint(e.Addresses[0], s.Ports[0].Port))
		}
	}
	return &endpoint.ClusterLoadAssignment{
		ClusterName: service,
		Endpoints:   []*endpoint.LocalityLbEndpoints{{LbEndpoints: all}},
	}
}

func lbEndpoint(ip string, port uint32) *endpoint.LbEndpoint {
	address := &core.Address{Address: &core.Address_SocketAddress{SocketAddress: &core.SocketAddress{
		Address:       ip,
		PortSpecifier: &core.SocketAddress_PortValue{PortValue: port},
	}}}
	return &endpoint.LbEndpoint{HostIdentifier: &endpoint.LbEndpoint_Endpoint{
		Endpoint: &endpoint.Endpoint{Address: address},
	}}
}

// list reads all slices and says at what version they were.
func (m *model) list(api string) (string, error) {
	answer, err := http.Get(api + path)
	if err != nil {
		return "", err
	}
	defer answer.Body.Close()
	var all struct {
		Metadata struct {
			ResourceVersion string `json:"resourceVersion"`
		} `json:"metadata"`
		Items []*slice `json:"items"`
	}
	if err := json.NewDecoder(answer.Body).Decode(&all); err != nil {
		return "", fmt.Errorf("the list of endpoint slices: %w", err)
	}
	for _, s := range all.Items {
		m.put(s)
	}
	assignments := make(map[string]types.Resource, len(m.slices))
	for service := range m.slices {
		assignments[service] = m.assignment(service)
	}
	return all.Metadata.ResourceVersion, m.cache.UpdateResources(assignments, nil)
}

// follow applies changes until the API server ends the watch, and then goes on from where it was.
func (m *model) follow(api, version string) error {
	for {
		answer, err := http.Get(api + path + "?watch=true&allowWatchBookmarks=true&resourceVersion=" + version)
		if err != nil {
			return err
		}
		lines := bufio.NewReaderSize(answer.Body, 1<<20)
		for {
			line, err := lines.ReadBytes('\n')
			if err != nil {
				break
			}
			if version, err = m.event(line, version); err != nil {
				answer.Body.Close()
				return err
			}
		}
		answer.Body.Close()
	}
}

func (m *model) event(line []byte, version string) (string, error) {
	var event struct {
		Type   string `json:"type"`
		Object slice  `json:"object"`
	}
	if err := json.Unmarshal(line, &event); err != nil {
		return version, fmt.Errorf("an event of the watch: %w", err)
	}
	s := &event.Object
	switch event.Type {
	case "ADDED", "MODIFIED":
		m.put(s)
	case "DELETED":
		delete(m.slices[s.service()], s.Metadata.Name)
	case "BOOKMARK":
		return s.Metadata.ResourceVersion, nil
	default:
		return version, errors.New("the watch sent " + event.Type)
	}
	return s.Metadata.ResourceVersion, m.cache.UpdateResource(s.service(), m.assignment(s.service()))
}

func main() {
	listen := flag.String("listen", "127.0.0.1:0", "where to serve")
	api := flag.String("api", "", "the API server, such as http://127.0.0.1:8001")
	flag.Parse()
	m := &model{cache: cache.NewLinearCache(resource.EndpointType), slices: map[string]map[string]*slice{}}
	version, err := m.list(*api)
	if err != nil {
		log.Fatal(err)
	}
	listener, err := net.Listen("tcp", *listen)
	if err != nil {
		log.Fatal(err)
	}
	serving := grpc.NewServer(
		grpc.KeepaliveParams(keepalive.ServerParameters{Time: 20 * time.Second, Timeout: 10 * time.Second}),
	)
	xds := server.NewServer(context.Background(), m.cache, nil)
	eds.RegisterEndpointDiscoveryServiceServer(serving, xds)
	go func() { log.Fatal(serving.Serve(listener)) }()
	fmt.Printf("listening %s\n", listener.Addr())
	log.Fatal(m.follow(*api, version))
}
