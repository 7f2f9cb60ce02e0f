//! Cards as people write them, turned into a provider's tokens at once.
//!
//! Card numbers never enter the system. Only the published numbers of test cards are taken, for the
//! simulator; whoever sends another gets a refusal that does not repeat it.

use time::{Date, Month};

use crate::{
    domain::{Card, CardDisplay, DeclineCode, PaymentProvider, Token},
    provider::CardRouting,
};

/// A test card: its published number, the token it becomes, and why it is declined.
struct TestCard {
    number: &'static str,
    token: &'static str,
    declined: Option<DeclineCode>,
}

/// All test cards. The first card of a token is the one shown when only the token is known.
const TEST_CARDS: [TestCard; 5] = [
    TestCard { number: "4242424242424242", token: "tok_visa", declined: None },
    TestCard { number: "4111111111111111", token: "tok_visa", declined: None },
    TestCard {
        number: "4000000000000002",
        token: "tok_declined",
        declined: Some(DeclineCode::CardDeclined),
    },
    TestCard {
        number: "4000000000009995",
        token: "tok_insufficient",
        declined: Some(DeclineCode::InsufficientFunds),
    },
    TestCard {
        number: "4000000000000069",
        token: EXPIRED,
        declined: Some(DeclineCode::ExpiredCard),
    },
];
/// Tokens that have no number of their own, and the token whose card is shown for each.
const ALIASES: [(&str, &str); 2] = [("tok_lost", "tok_visa"), ("tok_slow", "tok_visa")];
const EXPIRED: &str = "tok_expired";

/// Why a card that somebody typed is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Wrong {
    /// Not the number of a test card.
    Number,
    /// Not `MM/YY`.
    Expiry,
}

/// The card of a token that somebody sent. `routing` says whose token it is.
pub(crate) fn of_token(token: &str, routing: CardRouting) -> Card {
    card(Token::new(token), routing.provider_of(token))
}

/// The card of a provider's token.
pub(crate) fn card(token: Token, provider: PaymentProvider) -> Card {
    let face = face(token.expose());
    Card { token, provider, face }
}

/// Turns a test card's number into its token. A card that has expired by `today` becomes the token
/// that is declined for it.
pub(crate) fn tokenize(number: &str, expiry: &str, today: Date) -> Result<Card, Wrong> {
    let digits: String = number.chars().filter(|c| !matches!(c, ' ' | '-')).collect();
    let known = TEST_CARDS.iter().find(|card| card.number == digits).ok_or(Wrong::Number)?;
    let last = expires(expiry).ok_or(Wrong::Expiry)?;
    let expired = last < (today.year(), u8::from(today.month()));
    let token = if expired { EXPIRED } else { known.token };
    let (token, face) = (Token::new(token), Some(visa(known.number)));
    Ok(Card { token, provider: PaymentProvider::Simulator, face })
}

/// What a card would be declined for, as far as its token tells. A token that nobody published is
/// declined, as the simulator declines any card that it does not know; Stripe's tokens tell nothing.
pub(crate) fn declined(card: &Card) -> Option<DeclineCode> {
    if card.provider == PaymentProvider::Stripe {
        return None;
    }
    let token = published(card.token.expose());
    let known = TEST_CARDS.iter().find(|card| card.token == token);
    known.map_or(Some(DeclineCode::CardDeclined), |known| known.declined)
}

fn face(token: &str) -> Option<CardDisplay> {
    let shown = published(token);
    TEST_CARDS.iter().find(|card| card.token == shown).map(|card| visa(card.number))
}

/// The token with a number of its own for which `token` is an alias, or `token` itself.
fn published(token: &str) -> &str {
    ALIASES.iter().find(|(alias, _)| *alias == token).map_or(token, |(_, of)| of)
}

fn visa(number: &str) -> CardDisplay {
    let last4 = number.get(number.len().saturating_sub(4)..).unwrap_or_default();
    CardDisplay { brand: "visa".into(), last4: last4.into() }
}

/// Year and month of `MM/YY`, the last month in which the card is good.
fn expires(text: &str) -> Option<(i32, u8)> {
    let (month, year) = text.split_once('/')?;
    let two_digits = |text: &str| text.len() == 2 && text.bytes().all(|byte| byte.is_ascii_digit());
    if !two_digits(month) || !two_digits(year) {
        return None;
    }
    let month: u8 = month.parse().ok()?;
    Month::try_from(month).ok()?;
    Some((2000 + year.parse::<i32>().ok()?, month))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn today() -> Date {
        Date::from_calendar_date(2026, Month::November, 20).unwrap()
    }

    #[test]
    fn published_numbers_become_tokens_and_keep_their_last_digits() {
        let card = tokenize("4111 1111 1111 1111", "12/29", today()).unwrap();

        assert_eq!(card.token.expose(), "tok_visa");
        assert_eq!(&*card.face.unwrap().last4, "1111");
        let of_token = |token| of_token(token, CardRouting::default());
        assert_eq!(&*of_token("tok_slow").face.unwrap().last4, "4242");
        assert_eq!(of_token("tok_nobody_gave").face, None);
    }

    #[test]
    fn any_other_number_is_refused() {
        for number in ["5500005555555559", "4242", "", "4242424242424243"] {
            assert_eq!(tokenize(number, "12/29", today()), Err(Wrong::Number), "{number}");
        }
    }

    #[test]
    fn a_card_is_good_to_the_end_of_its_month() {
        let token = |expiry| tokenize("4242424242424242", expiry, today()).map(|card| card.token);

        assert_eq!(token("11/26"), Ok(Token::new("tok_visa")));
        assert_eq!(token("10/26"), Ok(Token::new("tok_expired")));
        for nonsense in ["13/26", "00/26", "1/26", "12/2029", "1226", "", "+1/26"] {
            assert_eq!(token(nonsense), Err(Wrong::Expiry), "{nonsense}");
        }
    }

    #[test]
    fn what_cannot_be_charged_is_told_beforehand() {
        for (token, code) in [
            ("tok_visa", None),
            ("tok_slow", None),
            ("tok_declined", Some(DeclineCode::CardDeclined)),
            ("tok_insufficient", Some(DeclineCode::InsufficientFunds)),
            ("tok_expired", Some(DeclineCode::ExpiredCard)),
            ("tok_nobody_gave", Some(DeclineCode::CardDeclined)),
        ] {
            let card = of_token(token, CardRouting { stripe: true });
            assert_eq!(declined(&card), code, "{token}");
        }
        let unknown = of_token("pm_card_visa", CardRouting::default());
        assert_eq!(declined(&unknown), Some(DeclineCode::CardDeclined));
        assert_eq!(declined(&of_token("pm_card_visa", CardRouting { stripe: true })), None);
    }
}
