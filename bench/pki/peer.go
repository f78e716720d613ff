// SPDX-License-Identifier: Apache-2.0

// What kubeadm does for each leaf, without the rest of kubeadm: a key, a
// certificate of crypto/x509 that is parsed again, both written as PEM.
//
//	peer DIRECTORY COUNT
package main

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"math/big"
	"net"
	"os"
	"runtime"
	"strconv"
	"time"
)

func must(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func serial() *big.Int {
	number, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 127))
	must(err)
	return number
}

func write(path, kind string, der []byte, mode os.FileMode) {
	must(os.WriteFile(path, pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}), mode))
}

func main() {
	runtime.GOMAXPROCS(1)
	directory := os.Args[1]
	count, err := strconv.Atoi(os.Args[2])
	must(err)
	authorityKey, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	must(err)
	now := time.Now()
	template := &x509.Certificate{SerialNumber: serial(), Subject: pkix.Name{CommonName: "kubernetes"},
		NotBefore: now, NotAfter: now.AddDate(10, 0, 0), IsCA: true, BasicConstraintsValid: true,
		KeyUsage: x509.KeyUsageCertSign | x509.KeyUsageCRLSign}
	der, err := x509.CreateCertificate(rand.Reader, template, template, authorityKey.Public(), authorityKey)
	must(err)
	authority, err := x509.ParseCertificate(der)
	must(err)
	began := time.Now()
	for i := 0; i < count; i++ {
		key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
		must(err)
		leaf := &x509.Certificate{SerialNumber: serial(), Subject: pkix.Name{CommonName: "kube-apiserver"},
			NotBefore: now, NotAfter: now.AddDate(1, 0, 0), BasicConstraintsValid: true,
			KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
			DNSNames: []string{"bench-1", "kubernetes", "kubernetes.default", "kubernetes.default.svc",
				"kubernetes.default.svc.cluster.local"},
			IPAddresses: []net.IP{net.ParseIP("203.0.113.10").To4(), net.ParseIP("10.0.0.11").To4(),
				net.ParseIP("10.96.0.1").To4()}}
		der, err := x509.CreateCertificate(rand.Reader, leaf, authority, key.Public(), authorityKey)
		must(err)
		_, err = x509.ParseCertificate(der)
		must(err)
		keyDER, err := x509.MarshalECPrivateKey(key)
		must(err)
		base := fmt.Sprintf("%s/leaf-%d", directory, i)
		write(base+".key", "EC PRIVATE KEY", keyDER, 0600)
		write(base+".crt", "CERTIFICATE", der, 0644)
	}
	fmt.Printf("%.0f\n", float64(count)/time.Since(began).Seconds())
}
