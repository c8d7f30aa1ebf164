#include "proxy/process/resolv_conf.h"

#include <arpa/inet.h>
#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

enum { MAX_NDOTS = 15 };

/* Takes the next line off `*text`, without a comment. False: there is none. */
static bool next_line(struct span *text, const char *comments, struct span *line)
{
	const char *end;

	if (text->n == 0)
		return false;
	end = memchr(text->p, '\n', text->n);
	*line = span_of(text->p, end == NULL ? text->n : (size_t)(end - text->p));
	*text = end == NULL ? span_of(NULL, 0) : span_of(end + 1, text->n - line->n - 1);
	for (size_t i = 0; i < line->n; i++) {
		if (strchr(comments, line->p[i]) != NULL && line->p[i] != '\0')
			line->n = i;
	}
	return true;
}

/* Takes the next word off `*line`. False: there is none. */
static bool next_word(struct span *line, struct span *word)
{
	while (line->n > 0 && isspace((unsigned char)*line->p))
		*line = span_of(line->p + 1, line->n - 1);
	*word = span_of(line->p, 0);
	while (word->n < line->n && !isspace((unsigned char)line->p[word->n]))
		word->n++;
	if (word->n == 0)
		return false;
	*line = span_of(line->p + word->n, line->n - word->n);
	return true;
}

static bool copy(struct span from, char *to, size_t room)
{
	if (from.n >= room || memchr(from.p, '\0', from.n) != NULL)
		return false;
	memcpy(to, from.p, from.n);
	to[from.n] = '\0';
	return true;
}

/* ---- resolv.conf */

static void add_server(struct resolv_conf *out, struct span word)
{
	char *to = out->servers[out->num_servers];
	char host[sizeof(out->servers[0])];
	unsigned char bytes[sizeof(struct in6_addr)];
	char *scope;

	if (out->num_servers == RESOLV_MAX_SERVERS || !copy(word, host, sizeof(host)))
		return;
	memcpy(to, host, sizeof(host));
	if ((scope = strchr(host, '%')) != NULL)
		*scope = '\0';
	if (inet_pton(AF_INET6, host, bytes) == 1 ||
	    (scope == NULL && inet_pton(AF_INET, host, bytes) == 1))
		out->num_servers++;
}

/* The last line of the kind counts. */
static void set_search(struct resolv_conf *out, struct span line, unsigned most)
{
	struct span word;

	out->num_search = 0;
	while (out->num_search < most && next_word(&line, &word)) {
		if (word.n > 1 && word.p[word.n - 1] == '.')
			word.n--;
		if (address_host(word, out->search[out->num_search]))
			out->num_search++;
	}
}

static void set_options(struct resolv_conf *out, struct span line)
{
	struct span word;

	while (next_word(&line, &word)) {
		char text[16];
		long number;

		if (!copy(word, text, sizeof(text)) || strncmp(text, "ndots:", 6) != 0)
			continue;
		number = strtol(text + 6, NULL, 10);
		out->ndots = number < 0 ? 0 : number > MAX_NDOTS ? MAX_NDOTS : (unsigned)number;
	}
}

void resolv_conf_read(struct span text, struct resolv_conf *out)
{
	struct span line, word;

	*out = (struct resolv_conf){ .ndots = 1 };
	while (next_line(&text, "#;", &line)) {
		if (!next_word(&line, &word))
			continue;
		if (span_eq(word, span_str("nameserver")) && next_word(&line, &word))
			add_server(out, word);
		else if (span_eq(word, span_str("search")))
			set_search(out, line, RESOLV_MAX_SEARCH);
		else if (span_eq(word, span_str("domain")))
			set_search(out, line, 1);
		else if (span_eq(word, span_str("options")))
			set_options(out, line);
	}
	if (out->num_servers == 0)
		(void)snprintf(out->servers[out->num_servers++], sizeof(out->servers[0]),
			       "127.0.0.1");
}

/* ---- hosts */

static bool read_address(struct span word, struct hosts_address *out)
{
	char text[INET6_ADDRSTRLEN];

	*out = (struct hosts_address){ .family = AF_INET };
	if (!copy(word, text, sizeof(text)))
		return false;
	if (inet_pton(AF_INET, text, out->bytes) == 1)
		return true;
	out->family = AF_INET6;
	return inet_pton(AF_INET6, text, out->bytes) == 1;
}

static void add_once(struct hosts_address *list, unsigned *num, const struct hosts_address *a)
{
	for (unsigned i = 0; i < *num; i++) {
		if (list[i].family == a->family &&
		    memcmp(list[i].bytes, a->bytes, sizeof(a->bytes)) == 0)
			return;
	}
	if (*num < RESOLV_MAX_ADDRESSES)
		list[(*num)++] = *a;
}

static bool is_name(struct span word, struct span wanted)
{
	return word.n == wanted.n && strncasecmp(word.p, wanted.p, word.n) == 0;
}

unsigned hosts_find(struct span text, const char *name, struct hosts_address *out)
{
	static const struct hosts_address here[] = {
		{ .family = AF_INET6, .bytes = { [15] = 1 } },
		{ .family = AF_INET, .bytes = { 127, 0, 0, 1 } },
	};
	struct span wanted = span_str(name), line, word;
	unsigned num = 0;

	if (wanted.n > 0 && wanted.p[wanted.n - 1] == '.')
		wanted.n--;
	while (next_line(&text, "#", &line)) {
		struct hosts_address a;

		if (!next_word(&line, &word) || !read_address(word, &a))
			continue;
		while (next_word(&line, &word)) {
			if (is_name(word, wanted))
				add_once(out, &num, &a);
		}
	}
	if (num > 0 || !is_name(wanted, span_str("localhost")))
		return num;
	memcpy(out, here, sizeof(here));
	return sizeof(here) / sizeof(here[0]);
}
