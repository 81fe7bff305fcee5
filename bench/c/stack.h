/* The work that the wire format asks for, done by OpenSSL: a SHA-1 with a secret in front, then
 * AES-256-CBC. Without OpenSSL's headers there is only the raw stack. */
#ifndef CASTER_BENCH_STACK_H
#define CASTER_BENCH_STACK_H

#include "bench.h"

enum stack { RAW, HASH, CRYPTO };
#define DIGEST 20

struct codec {
    enum stack stack;
    void *seed, *digest, *encrypt, *decrypt;
    unsigned char key[32], iv[16];
};

#ifdef HAVE_OPENSSL
#include <openssl/evp.h>

static inline void codec_init(struct codec *it, const char *stack) {
    const char *secret = "9ve2cND;d3\"Vs", *key = "09dfDim3ZqzXvfkun6";
    it->stack = !strcmp(stack, "raw") ? RAW : !strcmp(stack, "hash") ? HASH : CRYPTO;
    it->seed = EVP_MD_CTX_new();
    it->digest = EVP_MD_CTX_new();
    EVP_DigestInit_ex(it->seed, EVP_sha1(), NULL);
    EVP_DigestUpdate(it->seed, secret, strlen(secret));
    EVP_BytesToKey(EVP_aes_256_cbc(), EVP_md5(), NULL, (const unsigned char *)key, (int)strlen(key), 1, it->key, it->iv);
    it->encrypt = EVP_CIPHER_CTX_new();
    it->decrypt = EVP_CIPHER_CTX_new();
    EVP_EncryptInit_ex(it->encrypt, EVP_aes_256_cbc(), NULL, it->key, it->iv);
    EVP_DecryptInit_ex(it->decrypt, EVP_aes_256_cbc(), NULL, it->key, it->iv);
}

static inline void codec_digest(struct codec *it, const unsigned char *data, int length, unsigned char *out) {
    EVP_MD_CTX_copy_ex(it->digest, it->seed);
    EVP_DigestUpdate(it->digest, data, (size_t)length);
    EVP_DigestFinal_ex(it->digest, out, NULL);
}

/* Writes the datagram for a payload to `out`, which has 64 bytes more than the payload. */
static inline int codec_out(struct codec *it, const unsigned char *payload, int length, unsigned char *out) {
    static _Thread_local unsigned char plain[MAX_DATAGRAM + 64];
    unsigned char *hashed = it->stack == CRYPTO ? plain : out;
    int first, last;
    if (it->stack == RAW) return memcpy(out, payload, (size_t)length), length;
    codec_digest(it, payload, length, hashed);
    memcpy(hashed + DIGEST, payload, (size_t)length);
    if (it->stack == HASH) return length + DIGEST;
    EVP_EncryptInit_ex(it->encrypt, NULL, NULL, NULL, it->iv);
    EVP_EncryptUpdate(it->encrypt, out, &first, plain, length + DIGEST);
    EVP_EncryptFinal_ex(it->encrypt, out + first, &last);
    return first + last;
}

/* The payload of a datagram, or -1 if it is not genuine. */
static inline int codec_in(struct codec *it, const unsigned char *data, int length, const unsigned char **payload) {
    static _Thread_local unsigned char plain[MAX_DATAGRAM + 64];
    unsigned char digest[EVP_MAX_MD_SIZE];
    int first, last;
    if (it->stack == RAW) return *payload = data, length;
    if (it->stack == CRYPTO) {
        EVP_DecryptInit_ex(it->decrypt, NULL, NULL, NULL, it->iv);
        if (!EVP_DecryptUpdate(it->decrypt, plain, &first, data, length)) return -1;
        if (!EVP_DecryptFinal_ex(it->decrypt, plain + first, &last)) return -1;
        data = plain;
        length = first + last;
    }
    if (length < DIGEST) return -1;
    codec_digest(it, data + DIGEST, length - DIGEST, digest);
    if (memcmp(digest, data, DIGEST)) return -1;
    *payload = data + DIGEST;
    return length - DIGEST;
}
#else
static inline void codec_init(struct codec *it, const char *stack) {
    it->stack = RAW;
    if (strcmp(stack, "raw")) {
        fprintf(stderr, "built without OpenSSL: only stack=raw\n");
        exit(3);
    }
}
static inline int codec_out(struct codec *it, const unsigned char *payload, int length, unsigned char *out) {
    (void)it;
    return memcpy(out, payload, (size_t)length), length;
}
static inline int codec_in(struct codec *it, const unsigned char *data, int length, const unsigned char **payload) {
    (void)it;
    return *payload = data, length;
}
#endif
#endif
