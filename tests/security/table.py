"""What is attacked, and the tests that show what comes of it. `test_table.py` sees to it that each of them is there.

SECURITY.md says the same in words, by the names of the rows.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

__all__ = ["ROWS"]

ROWS: Final[Mapping[str, tuple[str, ...]]] = {
    "strangers": (
        "tests/security/test_strangers.py::test_every_wrong_secret_gets_the_bytes_of_a_path_there_is_not",
        "tests/security/test_strangers.py::test_what_a_request_has_wrong_tells_nothing_of_the_secret_before_it",
        "tests/security/test_strangers.py::test_a_path_is_compared_with_each_secret_in_constant_time",
        "tests/test_route.py::test_while_rotating_both_secrets_open",
        "tests/test_route.py::test_the_old_secret_closes_after_the_rotation",
        "tests/test_route.py::test_any_path_is_answered_and_only_harmless_ids_come_out",
        "tests/test_server.py::test_every_wrong_path_gets_the_same_bytes",
        "tests/test_settings.py::test_a_secret_of_commas_alone_does_not_leave_the_door_open",
    ),
    "browsers": ("tests/test_server.py::test_a_browser_is_refused",),
    "hijacking": (
        "tests/security/test_strangers.py::test_a_stranger_at_the_id_of_a_live_call_changes_nothing",
        "tests/test_session.py::test_the_newer_socket_of_a_call_wins",
        "tests/stores/test_contract.py::test_an_older_owner_is_refused_and_told_once",
        "tests/stores/test_redis.py::test_only_the_newest_owner_is_heard",
    ),
    "calls that are none": (
        "tests/test_retell_api.py::test_anything_else_is_no_call_of_ours",
        "tests/test_retell_api.py::test_an_answer_without_an_end_is_not_read_for_ever",
        "tests/test_tools.py::test_a_call_that_is_none_gets_words_and_no_side_effects",
        "tests/test_tools.py::test_a_side_effect_waits_for_the_call_to_be_verified_and_takes_the_caller_from_there",
        "tests/test_tools_attacks.py::test_a_stage_is_judged_by_the_caller_that_was_verified",
    ),
    "message bombs": (
        "tests/security/test_floods.py::test_one_byte_too_many_is_refused_and_one_fewer_is_not",
        "tests/security/test_floods.py::test_a_long_message_is_refused_by_its_head_alone",
        "tests/security/test_floods.py::test_a_message_in_pieces_is_too_long_when_all_of_them_are",
        "tests/security/test_floods.py::test_compression_is_not_spoken_whoever_offers_it",
    ),
    "deep and odd JSON": (
        "tests/security/test_floods.py::test_a_message_nobody_can_have_meant_costs_nobody_anything",
        "tests/test_wire.py::test_deep_json_is_a_wire_error_wherever_it_sits",
        "tests/test_wire.py::test_what_is_no_message_is_a_wire_error",
        "tests/test_wire.py::test_a_wire_error_never_quotes_what_came",
        "tests/test_session.py::test_rubbish_closes_nothing_and_is_counted",
        "tests/fuzz/test_wire.py::test_a_message_is_one_or_a_wire_error_that_quotes_nothing",
    ),
    "floods of frames": (
        "tests/security/test_floods.py::test_a_flood_of_frames_ends_its_own_socket",
        "tests/security/test_floods.py::test_as_many_frames_as_any_call_needs_are_taken",
    ),
    "idle and slow sockets": (
        "tests/security/test_floods.py::test_a_request_that_drips_is_given_up",
        "tests/security/test_floods.py::test_two_thousand_sockets_that_say_nothing_leave_room_for_a_call",
        "tests/security/test_floods.py::test_a_server_without_files_to_open_takes_calls_again_once_it_has_some",
        "tests/security/test_floods.py::test_a_server_opens_as_many_files_as_it_may",
        "tests/test_session.py::test_a_socket_whose_keepalive_falls_silent_is_dropped",
        "tests/test_server.py::test_whoever_says_nothing_on_the_second_port_is_not_waited_for",
        "tests/test_admin.py::test_a_head_that_does_not_come_is_not_waited_for",
        "tests/test_admin.py::test_a_body_that_does_not_come_is_not_waited_for",
    ),
    "peers that never read": (
        "tests/test_session.py::test_a_peer_that_stops_reading_is_dropped",
        "tests/test_session.py::test_a_peer_that_asks_and_does_not_read_cannot_fill_the_memory",
        "tests/test_peer.py::test_a_peer_that_pings_and_does_not_read_is_dropped",
        "tests/test_peer.py::test_a_peer_that_says_goodbye_and_stays_is_dropped",
    ),
    "transcripts that grow": (
        "tests/security/test_costs.py::test_what_a_model_is_sent_of_an_endless_talk_has_an_end",
        "tests/test_prompt.py::test_what_is_too_long_for_any_summary_is_left_out_in_steps",
        "tests/test_tools_attacks.py::test_what_tools_did_outlives_the_beginning_of_a_long_call",
    ),
    "calls that cost": (
        "tests/security/test_costs.py::test_a_machine_that_talks_for_ever_is_left_when_its_budget_is_used_up",
        "tests/security/test_costs.py::test_a_machine_that_is_silent_for_ever_is_left",
        "tests/test_budget.py::test_a_budget_is_used_up_when_either_bound_is_reached",
        "tests/test_tools.py::test_a_model_that_never_stops_calling_may_only_speak_at_last",
        "tests/test_hedge_budget.py::test_never_more_than_a_twentieth_and_the_first_one",
    ),
    "injection by speech": (
        "tests/test_attacks.py::test_an_attack_gets_nobody_more_than_is_theirs",
        "tests/test_attacks.py::test_the_corpus_bites_an_agent_that_trusts_the_models_arguments",
        "tests/test_attacks.py::test_the_careful_agent_does_what_it_may",
        "tests/test_ear.py::test_nothing_for_the_eye_is_left",
    ),
    "poisoned results": (
        "tests/test_attacks.py::test_an_attack_gets_nobody_more_than_is_theirs",  # its notes and variables
        "tests/test_tools_attacks.py::test_half_an_emoji_in_a_result_does_not_end_the_talk",
        "tests/test_tool.py::test_any_result_can_be_told",
    ),
    "tools done twice": (
        "tests/test_takeover.py::test_a_tool_that_was_done_is_not_done_again",
        "tests/test_takeover.py::test_a_tool_that_broke_off_with_its_server_is_not_tried_again",
        "tests/test_tools.py::test_what_broke_in_the_middle_is_never_repeated",
        "tests/stores/test_contract.py::test_a_side_effect_is_claimed_once_by_all_servers",
    ),
    "transfers to strangers": (
        "tests/test_tools.py::test_a_premium_number_of_the_models_is_refused",
        "tests/test_admin.py::test_a_target_that_is_not_in_the_directory_is_refused",
        "tests/test_control.py::test_a_target_nobody_listed_is_refused_as_such",
    ),
    "speech in logs": (
        "tests/security/test_canary.py::test_what_is_said_and_what_is_secret_is_in_nothing_around_it",
        "tests/security/test_canary.py::test_what_looks_for_canaries_finds_each",
        "tests/test_run.py::test_no_log_holds_speech_or_secrets",
        "tests/test_log.py::test_what_a_function_of_the_agents_has_raised_is_masked",
        "tests/test_tools_attacks.py::test_what_a_function_before_the_model_raises_is_not_in_the_log",
    ),
    "speech that is kept": (
        "tests/test_masking.py::test_seven_digits_in_a_row_never_stay",
        "tests/test_masking.py::test_a_hostile_text_masks_in_time",
        "tests/test_masked_facts.py::test_any_call_is_masked_once_and_for_all",
        "tests/consumers/test_archive.py::test_what_was_masked_before_is_in_no_byte_of_the_archive",
        "tests/consumers/test_shelf.py::test_no_speech_is_left_outside_the_archive",
        "tests/consumers/test_shelf.py::test_a_call_is_forgotten_and_does_not_come_back",
    ),
    "metric cardinality": (
        "tests/test_measures.py::test_ten_thousand_calls_make_no_series_of_their_own",
        "tests/test_measures.py::test_what_is_no_word_is_no_label",
    ),
    "cache leaks": (
        "tests/test_answers_attacks.py::test_after_a_calls_of_one_caller_ten_thousand_of_another_hear_nothing_of_theirs",
        "tests/test_answers_attacks.py::test_two_agents_of_one_transcript_share_nothing",
        "tests/test_answers_attacks.py::test_a_value_of_another_tenant_in_the_store_is_a_miss_and_a_warning",
        "tests/test_answers.py::test_two_contexts_have_one_key_only_if_nothing_in_them_differs",
    ),
    "forged and replayed webhooks": (
        "tests/security/test_strangers.py::test_a_signature_is_compared_with_each_key_in_constant_time",
        "tests/fuzz/test_webhooks.py::test_only_the_bytes_that_were_signed_are_verified",
        "tests/fuzz/test_webhooks.py::test_only_the_signature_of_a_body_verifies_it_and_only_for_so_long",
        "tests/test_webhooks.py::test_a_signature_holds_for_five_minutes_either_way",
        "tests/test_webhooks.py::test_a_step_of_a_calls_life_is_told_once",
        "tests/test_webhooks.py::test_two_keys_are_valid_while_they_are_changed",
    ),
    "requests forged by the server": (
        "tests/test_rules.py::test_a_webhook_goes_to_a_url_that_is_safe",
        "tests/consumers/test_escalation.py::test_a_refusal_is_final_and_a_redirect_is_one",
        "tests/security/test_upstream.py::test_a_redirect_leads_neither_key_nor_talk_elsewhere",
        "tests/test_retell_api.py::test_a_call_id_cannot_change_the_question",
    ),
    "names in keys, paths and SQL": (
        "tests/security/test_names.py::test_a_name_is_a_key_in_redis_and_no_command",
        "tests/security/test_names.py::test_such_a_name_is_no_call_on_any_port",
        "tests/security/test_names.py::test_a_name_in_the_archive_is_a_value_and_no_path",
        "tests/security/test_names.py::test_a_name_on_the_command_line_finds_the_call_of_that_name_only",
        "tests/stores/test_contract.py::test_odd_ids_are_calls_of_their_own",
    ),
    "names on pages and terminals": (
        "tests/report/test_page.py::test_whatever_comes_from_a_call_is_text",
        "tests/commands/test_transcripts.py::test_what_was_said_does_nothing_to_a_terminal_or_a_spreadsheet",
        "tests/commands/test_chat.py::test_words_do_nothing_to_a_terminal",
        "tests/commands/test_findings.py::test_what_was_seen_at_a_strangers_does_nothing_to_a_terminal",
    ),
    "records that others wrote": (
        "tests/fuzz/test_records.py::test_a_letter_is_one_or_an_error_that_quotes_nothing",
        "tests/fuzz/test_records.py::test_an_entry_is_one_and_stays_it_or_is_none",
        "tests/fuzz/test_records.py::test_an_errand_is_one_and_stays_it_or_is_none",
        "tests/fuzz/test_records.py::test_a_memo_is_one_and_stays_it_or_is_none",
        "tests/stores/test_redis.py::test_effects_that_cannot_be_read_are_not_done_anew",
        "tests/switchboards/test_redis.py::test_rubbish_on_the_channel_is_counted_and_nothing_else",
    ),
    "Redis and Kafka in the open": (
        "tests/stores/test_redis_access.py::test_a_user_needs_no_more_than_is_written_down",
        "tests/stores/test_redis_access.py::test_a_server_nobody_vouches_for_is_told_nothing",
        "tests/buses/test_kafka_access.py::test_facts_go_over_tls_with_scram",
        "tests/buses/test_kafka_access.py::test_a_certificate_that_nobody_vouches_for_is_told",
    ),
    "secrets": (
        "tests/security/test_canary.py::test_what_is_said_and_what_is_secret_is_in_nothing_around_it",
        "tests/security/test_strangers.py::test_the_secret_is_in_no_answer",
        "tests/test_settings.py::test_secrets_are_not_in_the_repr",
        "tests/test_settings.py::test_a_bad_secret_is_refused_and_not_quoted",
        "tests/models/test_contract.py::test_the_key_is_in_no_repr",
        "tests/stores/test_redis.py::test_a_password_is_never_shown",
        "tests/buses/test_kafka_access.py::test_a_wrong_password_is_told_and_never_quoted",
        "tests/deploy/test_kubernetes.py::test_no_secret_is_in_the_files_and_it_is_said_how_each_is_made",
    ),
    "an environment that leads elsewhere": (
        "tests/security/test_upstream.py::test_the_environment_leads_the_key_nowhere_else",
        "tests/security/test_upstream.py::test_headers_out_of_the_environment_stop_the_start",
    ),
    "files": (
        "tests/test_journal.py::test_nobody_else_may_look_into_it",
        "tests/test_consume.py::test_nobody_else_may_look_into_a_folder_that_was_there",
        "tests/consumers/test_scratch.py::test_a_folder_is_its_owners_alone_and_goes_with_all_that_is_in_it",
        "tests/security/test_names.py::test_a_link_in_the_place_of_the_journal_is_not_followed",
        "tests/security/test_names.py::test_a_link_in_the_place_of_a_lock_is_not_followed",
        "tests/fuzz/test_files.py::test_a_file_of_rules_is_one_or_is_refused_in_a_line",
        "tests/fuzz/test_files.py::test_phrases_are_compared_as_they_are_and_no_pattern_is_in_them",
    ),
    "the second port": (
        "tests/security/test_strangers.py::test_what_is_on_the_second_port_is_not_on_that_of_the_calls",
        "tests/security/test_strangers.py::test_the_admin_token_is_compared_in_constant_time",
        "tests/test_admin.py::test_without_a_token_set_nobody_may",
        "tests/test_admin.py::test_without_the_token_nothing_is_told",
        "tests/test_admin.py::test_a_body_that_is_too_long_is_not_read",
        "tests/test_server.py::test_by_default_there_is_no_second_port",
    ),
    "the console": (
        "tests/console/test_routes.py::test_without_an_admin_token_there_is_no_console",
        "tests/console/test_routes.py::test_the_page_is_files_for_anybody_and_its_headers_are_strict",
        "tests/console/test_routes.py::test_nothing_is_told_without_the_token",
        "tests/console/test_routes.py::test_there_are_no_tickets_for_the_calls_of_others",
        "tests/console/test_routes.py::test_a_ticket_is_spent_whatever_comes_of_it",
        "tests/console/test_routes.py::test_the_page_of_another_server_opens_no_socket_and_costs_no_ticket",
        "tests/console/test_routes.py::test_the_port_of_calls_goes_on_refusing_browsers",
        "tests/console/test_views.py::test_speech_is_text_whatever_it_looks_like",
        "tests/console/test_window.py::test_a_browser_that_does_not_read_is_given_up",
        "tests/deploy/test_gateway.py::test_nothing_else_of_the_second_port_can_be_reached",
    ),
    "a hostile model's host": (
        "tests/security/test_upstream.py::test_an_answer_that_is_none_is_an_apology_and_the_next_one_is_whole",
        "tests/security/test_upstream.py::test_a_long_event_is_not_read_to_its_end",
        "tests/security/test_upstream.py::test_an_answer_byte_by_byte_is_whole",
        "tests/fuzz/test_sse.py::test_it_does_not_matter_where_a_stream_is_cut",
        "tests/fuzz/test_sse.py::test_what_is_held_of_a_stream_is_bounded",
    ),
}
"""What is attacked → the tests."""
